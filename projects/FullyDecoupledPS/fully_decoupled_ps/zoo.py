"""Detectors of Detectron2's model zoo, taken as their configs have them."""

import difflib
import logging
import os
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path

import detectron2
from detectron2.config import CfgNode, get_cfg, instantiate
from detectron2.data import MetadataCatalog
from detectron2.modeling import META_ARCH_REGISTRY, GeneralizedRCNN, PanopticFPN
from detectron2.modeling.meta_arch.dense_detector import DenseDetector
from detectron2.utils.registry import locate
from omegaconf import DictConfig

from .errors import UserError

# detectron2.model_zoo itself is imported where it is used: its main branch needs pkg_resources
# there, which newer setuptools don't have.
ZOO = Path(detectron2.__file__).parent / "model_zoo" / "configs"

# What of the zoo gives boxes of its own -> the detector in it; the rest is dropped.
DETECTORS = {
    "GeneralizedRCNN": "GeneralizedRCNN",
    "RetinaNet": "RetinaNet",
    "PanopticFPN": "GeneralizedRCNN",
}
# A lazy config's heads for what is dropped, and a panoptic network's own settings.
OTHER_HEADS = ("mask_in_features", "mask_pooler", "mask_head", "keypoint_in_features")
OTHER_HEADS += ("keypoint_pooler", "keypoint_head")
PANOPTIC = ("sem_seg_head", "combine_overlap_thresh", "combine_stuff_area_thresh")
PANOPTIC += ("combine_instances_score_thresh",)

# What data sets call persons; LVIS 0.5 names a class by the first of its synonyms.
PERSON_NAMES = ("person", "baby")

# What boxes and scores depend on, and a shipped config or one's own may say otherwise than a zoo's.
OF_THE_DETECTOR = (
    *("INPUT.FORMAT", "INPUT.MIN_SIZE_TEST", "INPUT.MAX_SIZE_TEST", "TEST.DETECTIONS_PER_IMAGE"),
    *("MODEL.DETECTOR.NAME", "MODEL.PIXEL_MEAN", "MODEL.PIXEL_STD"),
    *("MODEL.DETECTOR.BLOCKS", "MODEL.DETECTOR.RES5_NORM"),
    *("MODEL.BACKBONE.NAME", "MODEL.RESNETS", "MODEL.FPN", "MODEL.ANCHOR_GENERATOR"),
    *("MODEL.PROPOSAL_GENERATOR.NAME", "MODEL.RPN", "MODEL.ROI_HEADS", "MODEL.ROI_BOX_HEAD"),
    *("MODEL.ROI_BOX_CASCADE_HEAD", "MODEL.RETINANET", "MODEL.FCOS"),
)
# Of these, what has a part in training alone, and the number of classes, which a stage sets.
OF_TRAINING = ("_TRAIN", "LOSS", "BETA", "_PER_IMAGE", "FRACTION", "IOU", "LABELS", "NUM_CLASSES")
OF_TRAINING += ("PROPOSAL_APPEND_GT", "BOUNDARY_THRESH", "PRIOR_PROB", "RADIUS", "TRAIN_ON")


def import_model_zoo():
    """Detectron2's module ``model_zoo``.

    Raises:
        UserError: if it can't be imported.
    """
    try:
        from detectron2 import model_zoo
    except ImportError as error:
        raise UserError(
            f"Detectron2's model zoo can't be imported ({error}); its main branch needs "
            "pkg_resources: pip install 'setuptools<81'"
        ) from error
    return model_zoo


def is_in_zoo(name: str) -> bool:
    """Whether Detectron2's model zoo has a config of this name."""
    path = ZOO / name
    is_config = path.suffix in (".yaml", ".py") and path.is_file()
    return is_config and not os.path.isabs(name) and not os.path.isfile(name)  # a user's own


def is_detector(name: str) -> bool:
    """Whether :func:`merge_zoo_config` takes one of the zoo's configs."""
    try:
        cfg = get_cfg()
        cfg.MODEL.DETECTOR = CfgNode(new_allowed=True)
        merge_zoo_config(cfg, name)
    except UserError:
        return False
    return True


def merge_zoo_config(cfg: CfgNode, name: str) -> None:
    """Give a config the detector of one of the zoo's, with all that it was trained with.

    Everything that the zoo's config says is taken but its datasets, and the weights that the zoo
    has for it. ``MODEL.DETECTOR.PERSON_CLASS`` becomes the class "person" of its datasets.

    Args:
        cfg: with this project's keys; changed in place.
        name: such as "COCO-Detection/retinanet_R_50_FPN_3x.yaml", or one of the lazy ``.py``.

    Raises:
        UserError: if the zoo has no such config, or it is of no detector.
    """
    _check_name(name)
    architecture, datasets = cfg.MODEL.META_ARCHITECTURE, cfg.DATASETS.clone()
    if name.endswith(".py"):
        trained_on = _merge_lazy_config(cfg, name)
    else:
        with _without_warnings():
            cfg.merge_from_file(str(ZOO / name))
        if cfg.MODEL.META_ARCHITECTURE not in DETECTORS or cfg.MODEL.LOAD_PROPOSALS:
            raise _no_detector(name, cfg.MODEL.META_ARCHITECTURE)
        cfg.MODEL.DETECTOR.NAME = DETECTORS[cfg.MODEL.META_ARCHITECTURE]
        trained_on = cfg.DATASETS.TRAIN
    # else they are what its config starts from
    cfg.MODEL.WEIGHTS = zoo_weights(name) or cfg.MODEL.WEIGHTS
    cfg.MODEL.META_ARCHITECTURE, cfg.DATASETS = architecture, datasets
    cfg.MODEL.DETECTOR.ZOO = name
    cfg.MODEL.DETECTOR.PERSON_CLASS = person_class(trained_on)


def zoo_weights(name: str) -> str:
    """The address of the weights that the zoo has for a config; "" if it has none.

    Raises:
        UserError: if the zoo has no such config.
    """
    _check_name(name)
    try:
        return import_model_zoo().get_checkpoint_url(name)
    except RuntimeError:
        return ""


def _check_name(name: str) -> None:
    if not is_in_zoo(name):
        known = [p.relative_to(ZOO).as_posix() for p in ZOO.rglob("*") if p.suffix == ".yaml"]
        close = difflib.get_close_matches(name, known, n=1)
        close = close or ["COCO-Detection/faster_rcnn_R_50_FPN_3x.yaml"]
        raise UserError(
            f"MODEL.DETECTOR.ZOO: Detectron2's model zoo has no config {name!r}; one is {close[0]}"
        )


def _no_detector(name: str, architecture: str) -> UserError:
    return UserError(
        f"MODEL.DETECTOR.ZOO: {name} is a {architecture}, which finds no boxes by itself here; "
        "take one of COCO-Detection, such as COCO-Detection/faster_rcnn_R_50_FPN_3x.yaml"
    )


@contextmanager
def _without_warnings():
    """fvcore warns of expressions in yamls, which some of Detectron2's own have."""
    log = logging.getLogger("fvcore.common.config")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)


def person_class(datasets: Sequence[str]) -> int:
    """The class "person" of registered datasets; -1 if that is not known."""
    for dataset in datasets:
        metadata = MetadataCatalog.get(dataset) if dataset in MetadataCatalog.list() else None
        classes = [name.lower() for name in metadata.get("thing_classes", [])] if metadata else []
        for person in PERSON_NAMES:
            if person in classes:
                return classes.index(person)
    return -1


def _merge_lazy_config(cfg: CfgNode, name: str) -> Sequence[str]:
    """What the rest of the network has to know of a lazy config; returns its datasets."""
    model_zoo = import_model_zoo()
    lazy = model_zoo.get_config(name)
    kind = _class_of(lazy.model)
    if not issubclass(kind, (GeneralizedRCNN, DenseDetector)):
        raise _no_detector(name, kind.__name__)
    cfg.MODEL.DETECTOR.NAME = "LazyZooDetector"
    cfg.MODEL.PIXEL_MEAN = list(lazy.model.pixel_mean)
    cfg.MODEL.PIXEL_STD = list(lazy.model.pixel_std)
    # LazyZooDetector reads it, and a fine-tuning to one class sets it
    cfg.MODEL.ROI_HEADS.NUM_CLASSES = _heads(lazy.model).num_classes
    test = lazy.dataloader.test.mapper
    cfg.INPUT.FORMAT = test.image_format
    resize = test.augmentations[0]
    cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MAX_SIZE_TEST = resize.short_edge_length, resize.max_size
    cfg.MODEL.WEIGHTS = lazy.train.init_checkpoint
    backbone = lazy.model.backbone
    stages = backbone.get("bottom_up", backbone).get("stages", {})
    if isinstance(stages, DictConfig) and "depth" in stages:  # for a side-net of equal depth
        cfg.MODEL.RESNETS.DEPTH = stages.depth
        cfg.MODEL.RESNETS.STRIDE_IN_1X1 = stages.get("stride_in_1x1", True)
    names = lazy.dataloader.train.dataset.names
    return [names] if isinstance(names, str) else list(names)


@META_ARCH_REGISTRY.register()
def LazyZooDetector(cfg: CfgNode):  # noqa: N802 (a name in the registry, as those of classes)
    """The detector of the lazy config that ``MODEL.DETECTOR.ZOO`` names, without other heads."""
    model_zoo = import_model_zoo()
    model = model_zoo.get_config(cfg.MODEL.DETECTOR.ZOO).model
    if issubclass(_class_of(model), PanopticFPN):
        model._target_ = "detectron2.modeling.GeneralizedRCNN"
        for key in PANOPTIC:
            model.pop(key, None)
    model.pixel_mean, model.pixel_std = list(cfg.MODEL.PIXEL_MEAN), list(cfg.MODEL.PIXEL_STD)
    heads = _heads(model)
    heads.num_classes = cfg.MODEL.ROI_HEADS.NUM_CLASSES
    for key in OTHER_HEADS:
        heads.pop(key, None)
    return instantiate(model).to(cfg.MODEL.DEVICE)


def _class_of(model: DictConfig) -> type:
    target = model._target_
    return locate(target) if isinstance(target, str) else target


def changed_of_zoo(cfg: CfgNode, zoo: CfgNode) -> list[str]:
    """What a config says of the detector that its zoo's config says otherwise, as keys and values.

    Args:
        cfg: with ``MODEL.DETECTOR.ZOO``.
        zoo: the same zoo's config, with nothing merged into it.
    """
    changes = []
    for key in OF_THE_DETECTOR:
        changes += _differences(key, value_in(cfg, key), value_in(zoo, key))
    return changes


def _differences(key: str, value, zoo) -> list[str]:
    if isinstance(value, dict):
        names = [n for n in value if not any(part in n for part in OF_TRAINING)]
        return [c for n in names for c in _differences(f"{key}.{n}", value[n], zoo.get(n))]
    value, zoo = as_lists(value), as_lists(zoo)
    return [] if value == zoo else [f"{key} {value} (the zoo's is {zoo})"]


def as_lists(value):
    """A config's value, in which a tuple and a list are the same."""
    return [as_lists(x) for x in value] if isinstance(value, (list, tuple)) else value


def value_in(content: dict, key: str):
    """``content["A"]["B"]`` for "A.B"; None if there is no such key."""
    for part in key.split("."):
        content = content.get(part) if isinstance(content, dict) else None
    return content


def _heads(model: DictConfig) -> DictConfig:
    """What knows the number of classes."""
    return model.roi_heads if "roi_heads" in model else model

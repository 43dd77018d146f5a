"""Checks of a whole config before any long work: device, parts, weights, data, identities."""

import logging
import os

import torch
from detectron2.config import CfgNode, get_cfg
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.modeling import (
    BACKBONE_REGISTRY,
    META_ARCH_REGISTRY,
    PROPOSAL_GENERATOR_REGISTRY,
    ROI_HEADS_REGISTRY,
)
from detectron2.utils import comm

from ..checkpoint.trained_with import check_trained_with, is_imagenet_file
from ..config import (
    KEY_OF_ZOO,
    STAGES_FROM_DETECTOR,
    add_fully_decoupled_ps_config,
    is_two_step,
    last_checkpoint,
    load_config,
    value_in,
)
from ..data import (
    SAMPLERS,
    UNREADABLE_IMAGES,
    count_person_ids,
    get_protocols,
    has_contiguous_ids,
)
from ..data.dataset_mapper import SKIP, STOP
from ..errors import UserError
from ..modeling import (
    CROP_REID_REGISTRY,
    REID_LOSS_REGISTRY,
    REID_SIDE_NET_REGISTRY,
    SIDE_FUSION_REGISTRY,
    check_light_detector,
)
from ..modeling.precision import precision_from_config
from ..modeling.res5_head import PersonRes5ROIHeads
from ..modeling.staged.backbone import is_staged
from ..modeling.staged.checks import check_staged, check_unread
from ..modeling.staged.timm_pixels import tell_other_pixels
from ..zoo import DETECTORS, changed_of_zoo
from .map_cache import check_map_cache
from .solver import check_schedule

logger = logging.getLogger(__name__)

# Of a detector: how many boxes it looks at in testing.
NUMBERS_AT_TEST = {
    "GeneralizedRCNN": ("MODEL.RPN.PRE_NMS_TOPK_TEST", "MODEL.RPN.POST_NMS_TOPK_TEST"),
    "RetinaNet": ("MODEL.RETINANET.TOPK_CANDIDATES_TEST",),
    "PersonRetinaNet": ("MODEL.RETINANET.TOPK_CANDIDATES_TEST",),
    "FCOS": ("MODEL.FCOS.TOPK_CANDIDATES_TEST",),
}
# Keys of MODEL.REID that have no effect on a network for crops.
NOT_OF_CROPS = ("POOLER_RESOLUTION", "POOLING", "FUSION.NAME")
NOT_OF_CROPS += tuple(
    f"SIDE_NET.{key}" for key in ("NAME", "DEPTH", "STAGED", "NORM", "CHECKPOINTING")
)


def check_config(cfg: CfgNode, *, eval_only: bool = False, resume: bool = False) -> int:
    """Read the datasets that a run needs, and refuse a config that can't end well.

    Args:
        cfg: after :func:`apply_stage`.
        eval_only: whether the training data is not needed.
        resume: whether the run in ``OUTPUT_DIR`` is gone on with, if there is one.

    Returns:
        what ``MODEL.REID.NUM_IDS`` should be: the number of identities in the training data if
        f_r is to be trained, else the config's own value.

    Raises:
        UserError: one line that names the key, what is allowed, and how to fix it.
    """
    _check_device(cfg)
    check_parts(cfg)
    check_test_numbers(cfg)
    goes_on = resume and bool(last_checkpoint(cfg.OUTPUT_DIR))
    check_trained_with(cfg, is_start=not eval_only and not goes_on)
    tell_changes_of_zoo(cfg)
    if is_two_step(cfg):
        _tell_unused(cfg)
    precision_from_config(cfg)  # refuses a type that the device has not
    if cfg.TEST.IMS_PER_BATCH < 1:
        raise UserError(f"TEST.IMS_PER_BATCH is {cfg.TEST.IMS_PER_BATCH}; it must be 1 or more")
    _check_choice("INPUT.UNREADABLE_IMAGES", cfg.INPUT.UNREADABLE_IMAGES, UNREADABLE_IMAGES)
    if not eval_only:
        if not goes_on:
            check_unread(cfg)
        _check_processes(cfg, comm.get_world_size())
        check_schedule(cfg, comm.get_world_size())
    _check_registered(cfg.DATASETS.TEST, "DATASETS.TEST")
    for name in cfg.DATASETS.TEST:
        get_protocols(name)
    _images_of(cfg, "TEST")
    if eval_only:
        if not cfg.DATASETS.TEST:
            raise UserError("DATASETS.TEST is empty; name a test set to evaluate on")
        return cfg.MODEL.REID.NUM_IDS
    _check_weights(cfg)
    if is_staged(cfg) and cfg.MODEL.WEIGHTS and cfg.SOLVER.STAGE not in STAGES_FROM_DETECTOR:
        tell_other_pixels(cfg, cfg.MODEL.STAGED.NAME)  # f_r has the detector's pixels
    check_map_cache(cfg)
    _check_choice("DATALOADER.SAMPLER_TRAIN", cfg.DATALOADER.SAMPLER_TRAIN, SAMPLERS)
    _check_registered(cfg.DATASETS.TRAIN, "DATASETS.TRAIN")
    if not cfg.DATASETS.TRAIN:
        raise UserError("DATASETS.TRAIN is empty; name a training set")
    if cfg.SOLVER.STAGE == "detection":
        _check_boxes(cfg)
        return cfg.MODEL.REID.NUM_IDS
    if not cfg.MODEL.REID.LOSSES:
        known = ", ".join(name for name, _ in REID_LOSS_REGISTRY)
        raise UserError(
            f"MODEL.REID.LOSSES is empty, so that f_r would learn nothing; registered are {known}"
        )
    return _count_identities(cfg)


def _check_device(cfg: CfgNode) -> None:
    try:
        torch.device(cfg.MODEL.DEVICE)
    except RuntimeError as error:
        raise UserError(f"MODEL.DEVICE is {cfg.MODEL.DEVICE!r}; say cuda or cpu") from error
    if cfg.MODEL.DEVICE.startswith("cuda") and not torch.cuda.is_available():
        raise UserError(
            f"MODEL.DEVICE is {cfg.MODEL.DEVICE}, but PyTorch sees no GPU; add MODEL.DEVICE cpu"
        )


def _check_processes(cfg: CfgNode, number: int) -> None:
    """That the processes of a training can share its batch, and its norms."""
    batch, reference = cfg.SOLVER.IMS_PER_BATCH, cfg.SOLVER.REFERENCE_WORLD_SIZE
    processes = reference or number
    if reference < 0 or batch < 1 or batch % processes:
        said_by = "of SOLVER.REFERENCE_WORLD_SIZE" if reference else "of this run"
        raise UserError(
            f"SOLVER.IMS_PER_BATCH is {batch}, which the {processes} processes {said_by} can't "
            f"share equally; make it a multiple of {abs(processes)}"
        )
    if number == 1 or cfg.MODEL.DEVICE != "cpu":
        return
    norms = {"MODEL.REID.SIDE_NET.NORM": cfg.MODEL.REID.SIDE_NET.NORM}
    if cfg.SOLVER.STAGE != "reid":  # else the detector is frozen
        norms["MODEL.RESNETS.NORM"] = cfg.MODEL.RESNETS.NORM
        norms["MODEL.FPN.NORM"] = cfg.MODEL.FPN.NORM
        norms["MODEL.DETECTOR.RES5_NORM"] = cfg.MODEL.DETECTOR.RES5_NORM
    for key, norm in norms.items():
        if norm in ("SyncBN", "nnSyncBN"):
            raise UserError(
                f"{key} is {norm}, which PyTorch has for GPUs only; say naiveSyncBN_N on the CPU"
            )


def check_parts(cfg: CfgNode) -> None:
    """Refuse parts that are not registered, blocks and numbers that a part can't have.

    Raises:
        UserError: names the key and what is registered, or allowed.
    """
    if cfg.MODEL.META_ARCHITECTURE in DETECTORS:
        raise UserError(
            f"MODEL.META_ARCHITECTURE is {cfg.MODEL.META_ARCHITECTURE}, a detector alone; name a "
            "config of Detectron2's model zoo with MODEL.DETECTOR.ZOO, another with "
            "MODEL.DETECTOR.NAME"
        )
    reid, generator = cfg.MODEL.REID, cfg.MODEL.PROPOSAL_GENERATOR.NAME
    # Detectron2's word for none, which is no part's name
    proposals = [] if generator == "PrecomputedProposals" else [generator]
    for key, names, registry in (
        ("MODEL.META_ARCHITECTURE", [cfg.MODEL.META_ARCHITECTURE], META_ARCH_REGISTRY),
        ("MODEL.DETECTOR.NAME", [cfg.MODEL.DETECTOR.NAME], META_ARCH_REGISTRY),
        ("MODEL.PROPOSAL_GENERATOR.NAME", proposals, PROPOSAL_GENERATOR_REGISTRY),
        ("MODEL.ROI_HEADS.NAME", [cfg.MODEL.ROI_HEADS.NAME], ROI_HEADS_REGISTRY),
        ("MODEL.BACKBONE.NAME", [cfg.MODEL.BACKBONE.NAME], BACKBONE_REGISTRY),
        ("MODEL.FCOS.BOTTOM_UP", [cfg.MODEL.FCOS.BOTTOM_UP], BACKBONE_REGISTRY),
        ("MODEL.REID.SIDE_NET.NAME", [reid.SIDE_NET.NAME], REID_SIDE_NET_REGISTRY),
        ("MODEL.REID.FUSION.NAME", [reid.FUSION.NAME], SIDE_FUSION_REGISTRY),
        ("MODEL.REID.LOSSES", reid.LOSSES, REID_LOSS_REGISTRY),
    ):
        for name in names:
            if name not in registry:
                registered = ", ".join(known for known, _ in registry)
                raise UserError(f"{key}: {name!r} is not registered; registered are {registered}")
    check_staged(cfg)
    check_light_detector(cfg)
    _check_proposals(cfg)
    _check_distillation(cfg)
    if is_two_step(cfg):
        _check_crops(cfg)


def _check_proposals(cfg: CfgNode) -> None:
    number, heads = cfg.MODEL.DETECTOR.PROPOSALS_AT_A_TIME, cfg.MODEL.ROI_HEADS.NAME
    key = f"MODEL.DETECTOR.PROPOSALS_AT_A_TIME is {number}"
    if number < 0:
        raise UserError(f"{key}; it must be 1 or more, or 0 for all proposals at once")
    made = ROI_HEADS_REGISTRY.get(heads)
    if number and not (isinstance(made, type) and issubclass(made, PersonRes5ROIHeads)):
        # no error: Base-FasterRCNN.yaml has it for its own heads, and others are a key away
        logger.warning(
            "%s, which has no effect: heads that are no PersonRes5ROIHeads (MODEL.ROI_HEADS.NAME "
            "%s) look at all proposals at once",
            *(key, heads),
        )


def tell_changes_of_zoo(cfg: CfgNode) -> None:
    """Name what makes the detector another than the zoo's, if it is one, or has no effect on it."""
    if not cfg.MODEL.DETECTOR.ZOO:
        return
    changes = changed_of_zoo(cfg, load_config(opts=[KEY_OF_ZOO, cfg.MODEL.DETECTOR.ZOO]))
    if cfg.MODEL.DETECTOR.NAME == "LazyZooDetector":
        read = ("INPUT.", "MODEL.DETECTOR.", "MODEL.PIXEL_")
        unread = [change for change in changes if not change.startswith(read)]
        changes = [change for change in changes if change not in unread]
        if unread:
            logger.warning(
                "No effect on the detector of %s, a lazy config with values of its own, has %s",
                *(cfg.MODEL.DETECTOR.ZOO, ", ".join(unread)),
            )
    if changes:
        logger.warning(
            "The detector is not quite that of %s, because the config says %s",
            *(cfg.MODEL.DETECTOR.ZOO, ", ".join(changes)),
        )


def _check_distillation(cfg: CfgNode) -> None:
    network = META_ARCH_REGISTRY.get(cfg.MODEL.META_ARCHITECTURE)
    if cfg.MODEL.REID.ORD.ENABLED and not getattr(network, "can_distill", False):
        raise UserError(
            "MODEL.REID.ORD.ENABLED is True, which is of FullyDecoupledPersonSearch and its one "
            f"re-id head, not of {cfg.MODEL.META_ARCHITECTURE}; set it to False"
        )


def _check_crops(cfg: CfgNode) -> None:
    stage, crop = cfg.SOLVER.STAGE, cfg.MODEL.CROP_REID
    if stage not in ("detection", "reid"):
        raise UserError(
            f"SOLVER.STAGE is {stage!r}; {cfg.MODEL.META_ARCHITECTURE} has detection and reid: its "
            "two networks share nothing that could be trained together"
        )
    if crop.NAME.partition(":")[0] not in CROP_REID_REGISTRY:
        registered = ", ".join(sorted(known for known, _ in CROP_REID_REGISTRY))
        raise UserError(
            f"MODEL.CROP_REID.NAME: {crop.NAME!r} is not registered; registered are {registered}"
        )
    for key, value in (
        ("INPUT.FORMAT", cfg.INPUT.FORMAT),
        ("MODEL.CROP_REID.FORMAT", crop.FORMAT),
    ):
        _check_choice(key, value, ("RGB", "BGR"))
    for key, number, least in (("SIZE", 2, 1), ("PIXEL_MEAN", 3, 0), ("PIXEL_STD", 3, 1e-6)):
        values = crop[key]
        if len(values) != number or not all(value >= least for value in values):
            raise UserError(
                f"MODEL.CROP_REID.{key} is {list(values)}; it must be {number} numbers, each "
                f"{least} or more"
            )
    if not all(isinstance(length, int) for length in crop.SIZE):
        raise UserError(f"MODEL.CROP_REID.SIZE is {list(crop.SIZE)}; it must be whole numbers")
    if max(crop.PIXEL_STD) < 1:
        mean, std = ([round(255 * v, 3) for v in crop[k]] for k in ("PIXEL_MEAN", "PIXEL_STD"))
        raise UserError(
            f"MODEL.CROP_REID.PIXEL_STD is {list(crop.PIXEL_STD)}, as of pixels from 0 to 1; here "
            f"they go from 0 to 255: set PIXEL_STD to {std}, and PIXEL_MEAN to {mean}"
        )
    if crop.BATCH < 1:
        raise UserError(f"MODEL.CROP_REID.BATCH is {crop.BATCH}; it must be 1 or more")


def _tell_unused(cfg: CfgNode) -> None:
    """Name what a config says of f_r that a network for crops does not read."""
    default = get_cfg()
    add_fully_decoupled_ps_config(default)
    keys = [f"MODEL.REID.{key}" for key in NOT_OF_CROPS]
    unused = [key for key in keys if value_in(cfg, key) != value_in(default, key)]
    if unused:
        logger.warning(
            "%s has no effect in %s: its f_r is MODEL.CROP_REID.NAME, %s",
            *(", ".join(unused), cfg.MODEL.META_ARCHITECTURE, cfg.MODEL.CROP_REID.NAME),
        )


def check_test_numbers(cfg: CfgNode) -> None:
    """Refuse numbers, of what is read in testing and in searching, that let nothing or all pass.

    Raises:
        UserError: names the key and what is allowed.
    """
    search = cfg.TEST.SEARCH
    for key, values in (
        ("TEST.SEARCH.SCORE_THRESH", [search.SCORE_THRESH]),
        ("TEST.SEARCH.MORE_SCORE_THRESHS", search.MORE_SCORE_THRESHS),
    ):
        for value in values:
            if not 0 <= value <= 1:  # nan is not
                raise UserError(f"{key}: {value} is no score; scores are from 0 to 1")
    if search.GT_BOXES_ONLY and cfg.SOLVER.STAGE == "detection":
        raise UserError(
            "TEST.SEARCH.GT_BOXES_ONLY evaluates f_r alone, and stage detection has none; set it "
            "to False, or evaluate another stage"
        )
    of_detections = ("CBGM", "COCO_AP", "BREAKDOWN", "PICTURES", "SAVE_PREDICTIONS")
    if search.GT_BOXES_ONLY and (given := [key for key in of_detections if search[key]]):
        raise UserError(
            f"TEST.SEARCH.GT_BOXES_ONLY makes no detections, which {', '.join(given)} would need; "
            "leave one of them out, or say GT_BOXES, which evaluates everything else too"
        )
    for key, least in (("MIN_SIZE_TEST", 0), ("MAX_SIZE_TEST", 1)):
        if cfg.INPUT[key] < least:
            raise UserError(f"INPUT.{key} is {cfg.INPUT[key]}; it must be {least} or more")
    _check_detections(cfg)


def _check_detections(cfg: CfgNode) -> None:
    """Refuse what Detectron2 keeps nothing of (0), and a negative number that counts from the end.

    Where it is not: Detectron2's heads of proposals, and this project's dense detectors, keep all.
    """
    detector, kept = cfg.MODEL.DETECTOR.NAME, cfg.TEST.DETECTIONS_PER_IMAGE
    for key in NUMBERS_AT_TEST.get(detector, ()):
        if (number := value_in(cfg, key)) < 1:
            raise UserError(f"{key} is {number}; it must be 1 or more")
    if detector == "RetinaNet" and kept < 1:
        raise UserError(f"TEST.DETECTIONS_PER_IMAGE is {kept}; of RetinaNet it must be 1 or more")
    if kept == 0 and detector in NUMBERS_AT_TEST:
        raise UserError("TEST.DETECTIONS_PER_IMAGE is 0; it must be 1 or more, or -1 for all")


def _check_choice(key: str, value: str, allowed) -> None:
    if value not in allowed:
        raise UserError(f"{key} is {value!r}; allowed are {', '.join(allowed)}")


def _check_registered(names, key: str) -> None:
    for name in names:
        if name not in DatasetCatalog.list():
            types = {n: MetadataCatalog.get(n).get("evaluator_type") for n in DatasetCatalog.list()}
            ours = [n for n, evaluator_type in types.items() if evaluator_type == "person_search"]
            raise UserError(
                f"{key}: dataset {name!r} is not registered; registered are {', '.join(ours)}; "
                "for own data see fully_decoupled_ps.data.register_person_search_json"
            )


def _check_weights(cfg: CfgNode) -> None:
    stage, freeze_at = cfg.SOLVER.STAGE, cfg.MODEL.BACKBONE.FREEZE_AT
    if stage == "reid" and is_two_step(cfg) and not cfg.MODEL.CROP_REID.WEIGHTS:
        raise UserError(
            "MODEL.CROP_REID.WEIGHTS is empty; name a published file that training starts from, "
            'or say "random"'
        )
    if cfg.MODEL.WEIGHTS:
        if stage in STAGES_FROM_DETECTOR and is_imagenet_file(cfg.MODEL.WEIGHTS):
            zoo = cfg.MODEL.DETECTOR.ZOO
            raise UserError(
                f"MODEL.WEIGHTS {cfg.MODEL.WEIGHTS} are ImageNet weights, without a detector, but "
                f"stage {stage} starts from a trained one; name its checkpoint, or train stage "
                "detection first" + f" (the model zoo has no weights for {zoo})" * bool(zoo)
            )
        return
    if stage in STAGES_FROM_DETECTOR:
        raise UserError(
            f"MODEL.WEIGHTS is empty, but stage {stage} starts from a trained detector; "
            "name its checkpoint, or leave MODEL.WEIGHTS out to take that of stage detection"
        )
    if freeze_at > 0:
        raise UserError(
            f"MODEL.WEIGHTS is empty while MODEL.BACKBONE.FREEZE_AT is {freeze_at}: layers would "
            "be frozen at random values; name ImageNet weights, or set MODEL.BACKBONE.FREEZE_AT 0"
        )


def _images_of(cfg: CfgNode, key: str) -> dict[str, list[dict]]:
    """The dataset dicts of DATASETS.TRAIN or TEST by name; every set must have some."""
    sets = {name: DatasetCatalog.get(name) for name in cfg.DATASETS[key]}
    for name, dicts in sets.items():
        if not dicts:
            raise UserError(f"{name} has no image; take it out of DATASETS.{key}, or add images")
        _check_files(name, dicts, cfg.INPUT.UNREADABLE_IMAGES)
    return sets


def _check_files(name: str, dicts: list[dict], policy: str) -> None:
    """A missing file stops a run before it has begun, or is skipped; a missing folder is a mistake.

    The loaders of datasets see this only where they take an image's size from its header.
    """
    missing = [d["file_name"] for d in dicts if not os.path.exists(d["file_name"])]
    if not missing:
        return
    count = f"{len(missing)} of {len(dicts)} images are not there, '{missing[0]}' for one"
    if len(missing) == len(dicts):
        raise UserError(f"{name}: {count}; correct its image folder, or put the images there")
    if policy == STOP:
        raise UserError(
            f"{name}: {count}; put them there, take their entries out, or set "
            f"INPUT.UNREADABLE_IMAGES {SKIP}"
        )
    logger.warning("%s: %s; they are skipped", name, count)


def _check_boxes(cfg: CfgNode) -> None:
    """What Detectron2 would assert when it builds the loader."""
    sets = _images_of(cfg, "TRAIN")
    if cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS and not any(
        d.get("annotations") for dicts in sets.values() for d in dicts
    ):
        raise UserError(
            f"{', '.join(sets)}: no image has a box; stage detection needs annotations of persons"
        )


def _count_identities(cfg: CfgNode) -> int:
    """The training set's number of identities, on which f_r can be trained."""
    if len(cfg.DATASETS.TRAIN) != 1:
        raise UserError(
            f"DATASETS.TRAIN names {len(cfg.DATASETS.TRAIN)} datasets, whose person ids would be "
            f"mixed up; stage {cfg.SOLVER.STAGE} trains on one"
        )
    dicts = DatasetCatalog.get(cfg.DATASETS.TRAIN[0])
    found = count_person_ids(dicts)
    if found == 0:
        raise UserError(
            f"{cfg.DATASETS.TRAIN[0]} has no labelled person; stage {cfg.SOLVER.STAGE} needs "
            "annotations with a person id"
        )
    if not has_contiguous_ids(dicts):
        raise UserError(
            f"{cfg.DATASETS.TRAIN[0]}: its {found} person ids are not 0 to {found - 1}, as a test "
            'set\'s need not be; to train on it, register it with split="train"'
        )
    if cfg.MODEL.REID.NUM_IDS not in (0, found):
        raise UserError(
            f"MODEL.REID.NUM_IDS is {cfg.MODEL.REID.NUM_IDS}, but {cfg.DATASETS.TRAIN[0]} has "
            f"{found} identities; set it to 0 (taken from the data) or to {found}"
        )
    _check_files(cfg.DATASETS.TRAIN[0], dicts, cfg.INPUT.UNREADABLE_IMAGES)
    return found

"""Config keys of the project, and how a stage of training is chosen from them."""

import difflib
import os
from collections.abc import Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import torch
import yaml
from detectron2.config import CfgNode as CN
from detectron2.config import get_cfg
from detectron2.modeling import META_ARCH_REGISTRY

from .errors import UserError
from .zoo import ZOO, is_in_zoo, merge_zoo_config, value_in

_PACKAGE = Path(__file__).resolve().parent
# The shipped configs: setup.py puts them into the installed package; in a checkout they are beside.
CONFIGS = next(
    (f for f in (_PACKAGE / "configs", _PACKAGE.parent / "configs") if f.is_dir()), _PACKAGE
)

KEY_OF_ZOO = "MODEL.DETECTOR.ZOO"
# Nodes of MODEL whose NUM_CLASSES the one or the other detector has.
CLASS_NODES = ("ROI_HEADS", "RETINANET", "FCOS")

STAGES = ("detection", "reid", "joint", "detached", "hybrid")
# Those of them that start from a trained detector; the others start from ImageNet weights.
STAGES_FROM_DETECTOR = ("reid", "hybrid")

# What merging a config raises for a wrong key or value, and for a file that is no config.
_MISTAKES = (KeyError, AssertionError, ValueError, OSError, AttributeError, TypeError)


def add_fully_decoupled_ps_config(cfg: CN) -> None:
    """Add this project's keys, with the paper's values, to a default Detectron2 config.

    Args:
        cfg: the result of :func:`detectron2.config.get_cfg`; changed in place.
    """
    cfg.MODEL.META_ARCHITECTURE = "FullyDecoupledPersonSearch"
    cfg.MODEL.DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
    # Keep the weights, and so the maps, in memory as N, H, W, C (not in the paper): True or False,
    # in training and evaluation. None: in evaluation on a CPU, and wherever precision is reduced,
    # but not in training on a CPU with group norm in the ResNet or f_r. load_network does so
    # whatever is said here, since a training had another form or device.
    cfg.MODEL.CHANNELS_LAST = None
    # An image that is missing, damaged or cut short: "stop", or "skip" and count it. A set of which
    # all images are missing is refused, and so is one image whose size no annotation states.
    cfg.INPUT.UNREADABLE_IMAGES = "stop"
    _add_detector_config(cfg)
    _add_staged_config(cfg)
    _add_coupled_config(cfg)
    _add_coat_config(cfg)
    _add_reid_config(cfg)
    _add_crop_reid_config(cfg)
    _add_ready_config(cfg)
    _add_solver_config(cfg)
    _add_test_config(cfg)


def _add_detector_config(cfg: CN) -> None:
    # f_d, the detection side-net (section III-A of the paper).
    cfg.MODEL.DETECTOR = CN()
    # A name in Detectron2's META_ARCH_REGISTRY.
    cfg.MODEL.DETECTOR.NAME = "GeneralizedRCNN"
    # The name of a config in Detectron2's model zoo, such as
    # "COCO-Detection/faster_rcnn_R_50_FPN_3x.yaml" (not in the paper): the detector is then built
    # from its values (layers, classes, pixel mean and deviation, channel order, picture sizes), and
    # from the zoo's weights unless MODEL.WEIGHTS says otherwise. "": from this config's.
    cfg.MODEL.DETECTOR.ZOO = ""
    # Of a detector of several classes (not in the paper): the class of persons; 0 in COCO. Other
    # detections are dropped before any feature is computed. -1: all detections are persons.
    cfg.MODEL.DETECTOR.PERSON_CLASS = -1
    # Detectron2's "RPN", which knows of regions to ignore as well.
    cfg.MODEL.PROPOSAL_GENERATOR.NAME = "PersonRPN"
    # Height and width of RoIAlign's output in PersonRes5ROIHeads. A key of its own, because the
    # default of MODEL.ROI_BOX_HEAD.POOLER_RESOLUTION is an int, which a yaml can't make a pair.
    cfg.MODEL.DETECTOR.POOLER_RESOLUTION = (16, 8)
    # At test conv5 of PersonRes5ROIHeads runs on so many proposals of a frame, the best first, and
    # on the next ones as long as the last ones changed what is found, up to
    # MODEL.RPN.POST_NMS_TOPK_TEST. 0: on all at once, as Detectron2's. Not in the paper.
    cfg.MODEL.DETECTOR.PROPOSALS_AT_A_TIME = 0
    # A lighter f_d (not in the paper, but in its successor of 2025, IJCV): how many residual blocks
    # its ResNet keeps in conv2, conv3, conv4 and conv5, always the first ones of each. Of an R-50,
    # which has (3, 4, 6, 3), "lite" keeps (3, 2, 2, 2) and "minor" (3, 1, 1, 1). (): all. f_r is
    # full in any case. ImageNet weights of the blocks that are kept load; the log names the others.
    # Likewise of a staged network; of a ConvNeXt-T, which has (3, 3, 9, 3), by our choice the same.
    cfg.MODEL.DETECTOR.BLOCKS = ()
    # Norm of f_d's conv5, in Detectron2's names; "": MODEL.RESNETS.NORM. The successor trains a BN
    # there, in Faster R-CNN; RetinaNet's and FCOS's stay as they are, by our choice.
    cfg.MODEL.DETECTOR.RES5_NORM = ""
    _add_fcos_config(cfg)


def _add_staged_config(cfg: CN) -> None:
    # Other networks than Detectron2's ResNets (not in the paper, but ConvNeXt is in its successor).
    cfg.MODEL.STAGED = CN()
    # The network of build_staged_backbone and of the pyramids on it: "torchvision:convnext_tiny",
    # "torchvision:swin_t", "timm:NAME", or one in STAGED_NETWORK_REGISTRY. Outputs, frozen stages
    # and blocks are RESNETS.OUT_FEATURES, BACKBONE.FREEZE_AT and DETECTOR.BLOCKS, as of a ResNet.
    cfg.MODEL.STAGED.NAME = ""
    # Largest rate of stochastic depth in training; -1: the library's own for that network.
    cfg.MODEL.STAGED.DROP_PATH = -1.0


def _add_fcos_config(cfg: CN) -> None:
    # FCOS: Detectron2's own settings of it (not in the paper), named as MODEL.RETINANET's are.
    fcos = cfg.MODEL.FCOS = CN()
    # The builder of the ResNet under build_fcos_resnet_fpn_backbone's pyramid.
    fcos.BOTTOM_UP = "build_resnet_backbone"
    fcos.IN_FEATURES = ("p3", "p4", "p5", "p6", "p7")
    # Foreground classes.
    fcos.NUM_CLASSES = 1
    # 3 x 3 convolutions before each of the two predictions, and the norm after each of them.
    fcos.NUM_CONVS = 4
    fcos.NORM = "GN"
    # Score of the foreground at the start of training.
    fcos.PRIOR_PROB = 0.01
    # A location is positive within this many strides of a box's centre.
    fcos.CENTER_SAMPLING_RADIUS = 1.5
    # Focal loss of the classification.
    fcos.FOCAL_LOSS_ALPHA = 0.25
    fcos.FOCAL_LOSS_GAMMA = 2.0
    # Of the score sqrt(class x centreness), before NMS.
    fcos.SCORE_THRESH_TEST = 0.2
    # Locations kept per level before NMS.
    fcos.TOPK_CANDIDATES_TEST = 1000
    fcos.NMS_THRESH_TEST = 0.6


def _add_coupled_config(cfg: CN) -> None:
    # The coupled models of Table I (MODEL.META_ARCHITECTURE CoupledPersonSearch), as modules of
    # the detector. Which of its features they share is not in the paper.
    cfg.MODEL.COUPLED = CN()
    # The module whose outputs are pooled; one map per call.
    cfg.MODEL.COUPLED.FEATURES = "backbone.res4"
    # Strides of these maps.
    cfg.MODEL.COUPLED.STRIDES = (16,)
    # The module between RoIAlign and the predictions; "": none.
    cfg.MODEL.COUPLED.CONV5 = "roi_heads.res5"


def _add_coat_config(cfg: CN) -> None:
    # COAT's transformers, in f_d and f_r (MODEL.META_ARCHITECTURE CoatPersonSearch, Table VIII).
    # The values are COAT's; the IoU thresholds of its stages are Detectron2's defaults as well.
    coat = cfg.MODEL.COAT = CN()
    # Channels of a transformer's output, and of the embedding of one of its re-id heads.
    coat.DIM = 512
    # Attention heads, and layers, of the encoder of each scale.
    coat.NUM_HEADS = 8
    coat.NUM_LAYERS = 1
    # Kernels of the convolutions that make tokens, one per scale.
    coat.TOKEN_KERNELS = (1, 3)
    # Largest share of a person's tokens that another's cover in training (not in the paper).
    coat.MAX_OCCLUSION = 0.5
    # IoU of the NMS after each stage.
    coat.NMS_THRESHS = (0.4, 0.4, 0.5)


def _add_reid_config(cfg: CN) -> None:
    # f_r, the re-id side-net.
    reid = cfg.MODEL.REID = CN()
    # Identities in the training set. 0: taken from the data, or from the checkpoint.
    reid.NUM_IDS = 0
    # Height and width of RoIAlign's output.
    reid.POOLER_RESOLUTION = (16, 8)
    # "avg" (the paper) or "gem" (trainable exponent; not in the paper).
    reid.POOLING = "avg"
    # Names in REID_LOSS_REGISTRY; the losses are summed.
    reid.LOSSES = ("OIMLoss", "TripletLoss")

    reid.SIDE_NET = CN()
    # A name in REID_SIDE_NET_REGISTRY: ResNetSideNet, OSNetSideNet, StagedSideNet.
    reid.SIDE_NET.NAME = "ResNetSideNet"
    # Depth of ResNetSideNet (18, 34, 50, 101 or 152). 0: that of the detector (homogeneous).
    reid.SIDE_NET.DEPTH = 0
    # Network of StagedSideNet, named as MODEL.STAGED.NAME. "": that of the detector (homogeneous).
    reid.SIDE_NET.STAGED = ""
    # Norm of its conv3, conv4 and conv5, in Detectron2's names (not in the paper). SyncBN takes its
    # statistics over all GPUs, as the norm of the embeddings always does.
    reid.SIDE_NET.NORM = "BN"
    # What it starts from: an ImageNet checkpoint's path or URL, "detector" (a copy of f_d's own
    # layers) or "random". It must be said: there is no silent random initialisation.
    reid.SIDE_NET.WEIGHTS = ""
    # Those of "res3", "res4" and "res5" whose blocks training computes again in the backward pass,
    # for less memory and equal results (not in the paper). "res3" saves most for the least time.
    reid.SIDE_NET.CHECKPOINTING = ()

    # The frozen f_d's maps of every training image, kept on the disk, so that in stage reid f_d
    # sees an image once (not in the paper): for small data sets, see the README. INPUT may then
    # resize an image to one size, and mirror it, and no more.
    reid.MAP_CACHE = CN()
    # A folder, made if there is none; "": maps are made anew each time.
    reid.MAP_CACHE.FOLDER = ""
    # What they are kept in: "float16", or "float32" for twice the space and no rounding.
    reid.MAP_CACHE.DTYPE = "float16"
    # The most that the folder may take, in GiB. A training that needs more is refused; maps that no
    # training uses are removed for it: of other detectors or sizes, and of images that changed.
    reid.MAP_CACHE.MAX_GIB = 20

    reid.FUSION = CN()
    # A name in SIDE_FUSION_REGISTRY: AlphaBlendFusion (eq. 3), ConvFusion (eq. 4), NoFusion.
    reid.FUSION.NAME = "AlphaBlendFusion"

    # SnA, spatial noise on ground-truth boxes.
    reid.BOX_NOISE = CN()
    # lambda1: the centre moves by less than lambda1 / 2 of the width and height.
    reid.BOX_NOISE.CENTER_SHIFT = 0.2
    # lambda2: width and height are scaled by a factor in [1 - lambda2, 1 + lambda2].
    reid.BOX_NOISE.SCALE = 0.2
    # n: noisy copies of each ground-truth box, which is itself kept as well.
    reid.BOX_NOISE.NUM_COPIES = 9

    reid.OIM = CN()
    # Rows of the circular queue of unlabelled persons. The paper: 500 for PRW, 5000 for CUHK-SYSU.
    reid.OIM.QUEUE_SIZE = 500
    # Share of the old row when a row of the lookup table is updated (not in the paper).
    reid.OIM.MOMENTUM = 0.5
    # Temperature of the softmax.
    reid.OIM.TEMPERATURE = 1.0 / 30.0
    # gamma of the focal form (1 - p)^gamma; 0 is the paper's plain OIM (focal: not in the paper).
    reid.OIM.FOCAL_GAMMA = 0.0

    reid.TRIPLET = CN()
    # Margin on the Euclidean distance of L2-normalised embeddings (not in the paper).
    reid.TRIPLET.MARGIN = 0.3
    # Weight of the triplet loss in the sum.
    reid.TRIPLET.WEIGHT = 1.0
    _add_ord_config(reid)


def _add_ord_config(reid: CN) -> None:
    # Online representation distillation (not in the paper, but in its successor of 2025, IJCV): in
    # training, each box, noisy copies included, is also cut out of the network's input, and the
    # crop goes through the same weights. Both streams have the losses of MODEL.REID.LOSSES and a
    # memory, and each is classified among the other's identities. Values are the successor's,
    # those marked "ours" are not known of it.
    reid.ORD = CN()
    reid.ORD.ENABLED = False
    # Height and width of a crop, to which it is resized, bilinearly. With antialias: ours.
    reid.ORD.CROP_SIZE = (256, 128)
    # Probability that a crop is mirrored.
    reid.ORD.FLIP_PROB = 0.5
    # A rectangle of the crop is made black: the probability, its least and largest share of the
    # crop's area, and its least and largest ratio of height to width.
    reid.ORD.ERASE = CN()
    reid.ORD.ERASE.PROB = 0.5
    reid.ORD.ERASE.AREA = (0.02, 0.33)
    reid.ORD.ERASE.ASPECT = (0.3, 3.3)
    # Factor on MODEL.REID.TRIPLET.WEIGHT, in both streams.
    reid.ORD.TRIPLET_SHARE = 0.5
    # Temperature of the softmax over the other stream's lookup table.
    reid.ORD.TEMPERATURE = 0.07
    # Weight of each of these two losses (ours).
    reid.ORD.WEIGHT = 1.0
    # As MODEL.REID.SIDE_NET.CHECKPOINTING, for the crops alone (ours).
    reid.ORD.CHECKPOINTING = ("res3", "res4", "res5")


def _add_crop_reid_config(cfg: CN) -> None:
    # f_r of a two-step search (MODEL.META_ARCHITECTURE TwoStepPersonSearch, Table VIII): persons
    # are cut out of the picture at its original resolution, and go through a network of their own.
    crop = cfg.MODEL.CROP_REID = CN()
    # A name in CROP_REID_REGISTRY; "torchvision:resnet50" and "timm:resnet18" name a backbone too.
    crop.NAME = "OSNet"
    # A published file of it, path or URL; "random" says that it starts from random weights.
    crop.WEIGHTS = ""
    # Height and width of a crop.
    crop.SIZE = (256, 128)
    # Of the channels from 0 to 255, in the order of FORMAT ("RGB" or "BGR"). ImageNet's.
    crop.PIXEL_MEAN = (123.675, 116.28, 103.53)
    crop.PIXEL_STD = (58.395, 57.12, 57.375)
    crop.FORMAT = "RGB"
    # The mean of the features of a crop and of its mirror image, at twice the time.
    crop.FLIP = False
    # Crops that go through the network at once at inference.
    crop.BATCH = 32


def _add_ready_config(cfg: CN) -> None:
    # What is known of a ready network's published files (configs/ready): shown by `person-search
    # models`, and checked when they are downloaded. Empty in other configs.
    cfg.READY = CN()
    # What it is for, in one line.
    cfg.READY.USE = ""
    for part in ("DETECTOR", "CROP_REID"):
        # Of the part's published file.
        cfg.READY[part] = CN()
        cfg.READY[part].BYTES = 0  # to tell how long it takes; 0: not known
        cfg.READY[part].SHA256 = ""  # "": not published; recorded at the first download
        cfg.READY[part].LICENCE = ""
        cfg.READY[part].DATA = ""  # what it was trained on, and the terms of that


def _add_solver_config(cfg: CN) -> None:
    # What is trained: detection (f_d alone), then either reid (f_r alone, f_d frozen: the paper's
    # task-incremental training) or hybrid (f_r, and f_d at a small rate); or joint (both at once);
    # or detached (both at once, but f_d's maps are detached before f_r takes them, so that f_d
    # learns from its own losses alone). The last is the idea of the paper's successor, "Fully
    # Decoupled End-to-End Person Search: An Approach without Conflicting Objectives" (IJCV 2025),
    # not of the paper. Our choice in it: the schedule (SOLVER.REID, at one rate), the plain sum of
    # the losses, f_d's norms in training mode, and that an input layer that is not frozen
    # (MODEL.BACKBONE.FREEZE_AT below 2) is f_d's alone.
    cfg.SOLVER.STAGE = "detection"
    # Any key of SOLVER whose value differs in the stages that train f_r, e.g. MAX_ITER.
    cfg.SOLVER.REID = CN(new_allowed=True)
    # Mixed precision in training (not in the paper; the key is Detectron2's): float16 on a GPU,
    # bfloat16 on a CPU; memory and re-id losses stay in float32. True, False, or None: on a CPU
    # that has instructions for it; a resumed run goes on in what its checkpoint was trained in.
    cfg.SOLVER.AMP.ENABLED = None
    # SGD (the paper) or AdamW (not in the paper; trains from scratch in fewer steps).
    cfg.SOLVER.OPTIMIZER = "SGD"
    # Base learning rate of f_d in stage hybrid; f_r has SOLVER.BASE_LR.
    cfg.SOLVER.HYBRID_DETECTOR_LR = 1e-5


def _add_test_config(cfg: CN) -> None:
    # Frames per batch and process; those of a batch have one size.
    cfg.TEST.IMS_PER_BATCH = 1
    # What evaluation computes in: "float32", as published figures are, "bfloat16", "float16", or
    # "auto": the fastest that the device has instructions for. Training has SOLVER.AMP.ENABLED, and
    # `person-search index` an option of its own, which is "auto" unless it is said.
    cfg.TEST.AUTOCAST = "float32"
    # The protocol of search; see evaluation/evaluator.py.
    cfg.TEST.SEARCH = CN()
    # Gallery detections with a lower score are left out of the search.
    cfg.TEST.SEARCH.SCORE_THRESH = 0.5
    # Search is evaluated with these score thresholds as well.
    cfg.TEST.SEARCH.MORE_SCORE_THRESHS = ()
    # Evaluate with class weighted similarity as well (CWS, marked with a dagger in the tables).
    cfg.TEST.SEARCH.CWS = True
    # (k1, k2) of context bipartite graph matching: evaluate with it as well (not in the paper;
    # SeqNet's are (30, 4) for PRW and (10, 3) for CUHK-SYSU).
    cfg.TEST.SEARCH.CBGM = ()
    # Numbers of frames: evaluate only protocols with galleries of such a size; if empty, all.
    cfg.TEST.SEARCH.GALLERY_SIZES = ()
    # Evaluate search in ground-truth boxes as well, an upper bound for the detector.
    cfg.TEST.SEARCH.GT_BOXES = False
    # Evaluate nothing else: of the detector, only what f_r needs is run (not in the paper).
    cfg.TEST.SEARCH.GT_BOXES_ONLY = False
    # Evaluate COCO's detection AP as well (not in the paper).
    cfg.TEST.SEARCH.COCO_AP = False
    # mAP by pair of cameras and by box height, as tables and plots (not in the paper).
    cfg.TEST.SEARCH.BREAKDOWN = False
    # Draw detections, SnA boxes, an embedding map, similarity histograms and the worst queries for
    # TensorBoard at each evaluation.
    cfg.TEST.SEARCH.PICTURES = False
    # Write predictions.npz, which tools/evaluate_predictions.py scores without the model.
    cfg.TEST.SEARCH.SAVE_PREDICTIONS = False


def load_config(config_file: str = "", opts: Sequence[str] = ()) -> CN:
    """Detectron2's and this project's defaults, a yaml and command-line options; of no stage yet.

    Args:
        config_file: a yaml's path, the name of a shipped one, or that of a config in Detectron2's
            model zoo. A zoo's config, also where ``MODEL.DETECTOR.ZOO`` names it, comes before the
            yaml's other values.
        opts: ``KEY VALUE`` pairs.

    Raises:
        UserError: as :func:`merge_config` and :func:`merge_zoo_config`.
    """
    cfg = get_cfg()
    add_fully_decoupled_ps_config(cfg)
    if zoo_name := _zoo_name(cfg, config_file, opts):
        merge_zoo_config(cfg, zoo_name)
    if is_in_zoo(config_file):  # and that is merged
        config_file = ""
    merge_config(cfg, config_file, opts)
    return cfg


def _zoo_name(cfg: CN, config_file: str, opts: Sequence[str]) -> str:
    """The zoo's config that all other values are merged into; "" for none.

    Raises:
        UserError: if two detectors are named, whose values would be mixed.
    """
    named = dict(zip(opts[::2], opts[1::2], strict=False)).get(KEY_OF_ZOO, "")
    if is_in_zoo(config_file) and named not in ("", config_file):
        raise UserError(
            f"--config-file {config_file} and {KEY_OF_ZOO} {named} are two detectors of the "
            "model zoo; leave one of them out"
        )
    if is_in_zoo(config_file):
        return config_file
    if not config_file:
        return named
    path = find_config(config_file)
    with _one_line(cfg, config_file):
        content = CN.load_yaml_with_base(path, allow_unsafe=True)
    own, detector = value_in(content, KEY_OF_ZOO) or "", value_in(content, "MODEL.DETECTOR.NAME")
    if named and named != own and detector:
        raise UserError(
            f"{KEY_OF_ZOO} {named}: {config_file} has a detector of its own ({own or detector}), "
            f"and they would be mixed; take --config-file {named}, or a yaml with this key and "
            "nothing of another detector"
        )
    return named or own


def merge_config(cfg: CN, config_file: str = "", opts: Sequence[str] = ()) -> None:
    """Merge a yaml and command-line options, and turn a mistake into one line.

    Raises:
        UserError: if the file is missing or no config, or a key is unknown or has a value of the
            wrong type.
    """
    if config_file:
        path = find_config(config_file)
        with _one_line(cfg, config_file):
            cfg.merge_from_file(path)
    with _one_line(cfg, "command line"):
        for key in opts[::2]:  # what a yaml may add to SOLVER.REID, the command line may as well
            name = key.removeprefix("SOLVER.REID.")
            if name != key and name in cfg.SOLVER and name not in cfg.SOLVER.REID:
                cfg.SOLVER.REID[name] = cfg.SOLVER[name]
        cfg.merge_from_list(list(opts))


def find_config(name: str) -> str:
    """The path of a config: ``name`` itself, or of the shipped one of that name.

    Args:
        name: a yaml's path, or its name among the shipped ones, such as
            "prw/faster_rcnn_R50.yaml", or in Detectron2's model zoo.

    Raises:
        UserError: if there is neither.
    """
    if os.path.isfile(name):
        return name
    if (CONFIGS / name).is_file():
        return str(CONFIGS / name)
    if is_in_zoo(name):
        return str(ZOO / name)
    close = difflib.get_close_matches(name, shipped_configs(), n=1)
    hint = f"did you mean {close[0]}?" if close else "one is prw/faster_rcnn_R50.yaml"
    raise UserError(f"--config-file {name}: no such file, nor a shipped config so called; {hint}")


def shipped_configs() -> list[str]:
    """Names of the shipped configs that :func:`find_config` takes, sorted."""
    return sorted(path.relative_to(CONFIGS).as_posix() for path in CONFIGS.rglob("*.yaml"))


@contextmanager
def _one_line(cfg: CN, source: str):
    """Turn what a merge raises into a :class:`UserError` that names where the values are from."""
    try:
        yield
    except (*_MISTAKES, yaml.YAMLError) as error:
        # a KeyError prints the representation of its message; YAML's messages have several lines
        reason = " ".join(str(error.args[0] if isinstance(error, KeyError) else error).split())
        raise UserError(f"{source}: {reason}{_suggest_key(cfg, reason)}") from error


def apply_stage(
    cfg: CN, opts: Sequence[str] = (), *, eval_only: bool = False, resume: bool = False
) -> None:
    """Turn the merged config into that of the one stage named by ``SOLVER.STAGE``.

    * ``SOLVER.REID`` replaces the same keys of ``SOLVER`` in every stage that trains f_r.
    * ``OUTPUT_DIR`` becomes ``OUTPUT_DIR/<stage>``.
    * ``MODEL.WEIGHTS`` is the stage's own last checkpoint where ``resume`` goes on from one, as
      Detectron2 has it. Else, unless ``opts`` name it: in stages ``detection``, ``joint`` and
      ``detached`` it stays; ``reid`` and ``hybrid`` start from the last checkpoint in
      ``OUTPUT_DIR/detection``; evaluation reads the stage's own last one, but a two-step network
      that was not trained here is evaluated as the config puts it together; as a whole, if
      ``opts`` name no stage.

    Args:
        cfg: a config with this project's keys; changed in place.
        opts: the command line's ``KEY VALUE`` pairs, which win over all else of the above.
        eval_only: whether the weights are to be evaluated rather than trained further.
        resume: whether training goes on from the stage's own last checkpoint, if there is one.

    Raises:
        UserError: for an unknown stage, an unknown key in ``SOLVER.REID``, or no checkpoint.
    """
    if eval_only and _is_put_together(cfg, opts):
        cfg.SOLVER.STAGE = "reid"
    stage = cfg.SOLVER.STAGE
    if stage not in STAGES:
        raise UserError(f"SOLVER.STAGE is {stage!r}; allowed are {', '.join(STAGES)}")
    for key, value in cfg.SOLVER.REID.items():
        if key not in cfg.SOLVER or key in ("STAGE", "REID"):
            raise UserError(f"SOLVER.REID.{key}: SOLVER has no such key{_closest(key, cfg.SOLVER)}")
        if stage != "detection":
            with _one_line(cfg, f"SOLVER.REID.{key}"):
                # merge_from_list checks the type, as it does for SOLVER itself
                cfg.merge_from_list([f"SOLVER.{key}", value])
    merge_config(cfg, opts=opts)
    base_dir = cfg.OUTPUT_DIR
    cfg.OUTPUT_DIR = os.path.join(base_dir, stage)
    if resume and not eval_only and (own := last_checkpoint(cfg.OUTPUT_DIR)):
        cfg.MODEL.WEIGHTS = own
    elif "MODEL.WEIGHTS" not in opts[::2]:
        _choose_weights(cfg, base_dir, eval_only=eval_only)
    trains_detector = stage != "reid" and not eval_only
    if cfg.MODEL.DETECTOR.PERSON_CLASS >= 0 and (
        trains_detector or _has_one_class(run_config(cfg.MODEL.WEIGHTS))
    ):
        set_number_of_classes(cfg, 1)


def is_two_step(cfg: CN) -> bool:
    """Whether f_r is a network for crops, so that a detector and a re-id network can be joined."""
    name = cfg.MODEL.META_ARCHITECTURE
    network = META_ARCH_REGISTRY.get(name) if name in META_ARCH_REGISTRY else None
    return getattr(network, "is_two_step", False)


def _is_put_together(cfg: CN, opts: Sequence[str]) -> bool:
    """Whether published files, for all that is known, are a whole network."""
    is_said = not {"SOLVER.STAGE", "MODEL.WEIGHTS"}.isdisjoint(opts[::2])
    return (
        is_two_step(cfg)
        and not is_said
        and not last_checkpoint(os.path.join(cfg.OUTPUT_DIR, "detection"))
    )


def _choose_weights(cfg: CN, base_dir: str, *, eval_only: bool) -> None:
    stage = cfg.SOLVER.STAGE
    if eval_only and is_two_step(cfg) and not last_checkpoint(cfg.OUTPUT_DIR):
        pass  # put together from published files
    elif eval_only:
        cfg.MODEL.WEIGHTS = _last_checkpoint(cfg.OUTPUT_DIR, f"--eval-only of stage {stage}")
    elif stage in STAGES_FROM_DETECTOR:
        detection = os.path.join(base_dir, "detection")
        # a zoo's detector needs no training
        if last_checkpoint(detection) or not cfg.MODEL.DETECTOR.ZOO:
            cfg.MODEL.WEIGHTS = _last_checkpoint(
                detection, f"stage {stage} starts from a trained detector"
            )


def set_number_of_classes(cfg: CN, number: int) -> None:
    """Foreground classes of the detector, whichever it is."""
    for node in CLASS_NODES:
        cfg.MODEL[node].NUM_CLASSES = number


def _has_one_class(run: dict) -> bool:
    return all(value_in(run, f"MODEL.{node}.NUM_CLASSES") == 1 for node in CLASS_NODES)


def run_config(checkpoint: str) -> dict:
    """The config of the run that wrote a checkpoint, if it stands beside it; else empty."""
    path = Path(checkpoint).parent / "config.yaml"
    if not checkpoint or "://" in checkpoint or not path.is_file():
        return {}
    with suppress(OSError, yaml.YAMLError):
        content = yaml.safe_load(path.read_text())
        return content if isinstance(content, dict) else {}
    return {}


def last_checkpoint(directory: str) -> str:
    """The checkpoint that a training in ``directory`` wrote last; "" if there is none."""
    pointer = Path(directory, "last_checkpoint")
    return os.path.join(directory, pointer.read_text().strip()) if pointer.is_file() else ""


def _last_checkpoint(directory: str, purpose: str) -> str:
    checkpoint = last_checkpoint(directory)
    if not checkpoint:
        raise UserError(
            f"{purpose}, but {directory} holds no checkpoint; "
            "train that stage first, or name a file with MODEL.WEIGHTS"
        )
    return checkpoint


def _suggest_key(cfg: CN, reason: str) -> str:
    """The closest existing key for yacs' "Non-existent key" messages, or nothing."""
    if "Non-existent" not in reason:
        return ""
    *parents, leaf = reason.split(":")[-1].strip().split(".")
    node = cfg
    for depth, parent in enumerate(parents):
        if parent not in node:
            leaf = parents[depth]
            break
        node = node[parent]
    if parents == ["SOLVER", "REID"]:  # has the keys of SOLVER
        node = cfg.SOLVER
    return _closest(leaf, node) if isinstance(node, dict) else ""


def _closest(key: str, node: CN) -> str:
    matches = difflib.get_close_matches(key, list(node), n=1)
    return f"; did you mean {matches[0]}?" if matches else ""

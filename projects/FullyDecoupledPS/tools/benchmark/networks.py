"""Networks to be measured: untrained, with as many detections and persons as they are told."""

import math
from collections.abc import Callable, Sequence

import torch
from detectron2.config import CfgNode
from detectron2.modeling import build_model
from detectron2.structures import Boxes, Instances
from detectron2.utils.events import EventStorage
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from fully_decoupled_ps.config import apply_stage, load_config
from fully_decoupled_ps.engine.solver import build_optimizer
from fully_decoupled_ps.errors import UserError
from fully_decoupled_ps.modeling.precision import autocast, training_type

PARTS = {
    "detector: backbone": ("detector.backbone",),
    "detector: proposals": ("detector.proposal_generator",),
    "detector: heads": ("detector.roi_heads", "detector.head"),
    "re-id: side-net": ("reid.side_net",),
    "re-id: crop network": ("reid.network",),
    "re-id: head": ("reid.head", "reid.stages.0", "reid.stages.1"),  # COAT has two
}
NUM_IDS = 483  # as in PRW, where the config does not say
# Looked at by heads that take some at a time (MODEL.DETECTOR.PROPOSALS_AT_A_TIME). Those of a
# trained detector look at 122 of a frame; BENCHMARKS.md has figures of 100 and 150.
PROPOSALS = 100

# What is said of untrained networks in any measurement.
FIXED_KEYS = ("MODEL.WEIGHTS", "SOLVER.STAGE")
# And of their training, since they diverge within a few steps.
NO_RATES = ("SOLVER.BASE_LR", 0.0, "SOLVER.HYBRID_DETECTOR_LR", 0.0)


def refuse_fixed(opts: Sequence, fixed: Sequence[str], option: str = "--opts") -> None:
    """
    Args:
        opts: ``KEY VALUE`` pairs, given with ``option``.
        fixed: keys whose values a measurement sets itself.

    Raises:
        UserError: names one of them that was given, in vain.
    """
    for key in opts[::2]:
        if key in fixed:
            raise UserError(f"{option} {key} has no effect: what is measured sets it; leave it out")


def benchmark_config(config_file: str, stage: str, opts: Sequence = ()) -> CfgNode:
    """The config of an untrained network of one stage.

    Raises:
        UserError: as :func:`load_config` and :func:`apply_stage`.
    """
    opts = [*opts, "MODEL.WEIGHTS", "", "SOLVER.STAGE", stage]
    cfg = load_config(config_file, opts)
    apply_stage(cfg, opts)
    cfg.MODEL.REID.NUM_IDS = cfg.MODEL.REID.NUM_IDS or NUM_IDS
    return cfg


def person_boxes(number: int, size: tuple[int, int], seed: int = 0) -> torch.Tensor:
    """(number, 4) boxes of people: 15 to 50 % of the picture's height, and 0.4 as wide."""
    generator = torch.Generator().manual_seed(seed)
    draw = torch.rand(number, 3, generator=generator)
    height, width = size
    box_height = height * (0.15 + 0.35 * draw[:, 0])
    box_width = 0.4 * box_height
    x = draw[:, 1] * (width - box_width)
    y = draw[:, 2] * (height - box_height)
    return torch.stack([x, y, x + box_width, y + box_height], dim=1)


def random_images(number: int, size: tuple[int, int], seed: int = 0) -> torch.Tensor:
    """(number, 3, height, width) in [0, 255)."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(number, 3, *size, generator=generator) * 255


def inference_inputs(
    model: nn.Module, number: int, size: tuple[int, int], frame: tuple[int, int]
) -> list[dict]:
    """Inputs of one size; of a two-step network, of pictures of size ``frame``."""
    inputs = [{"image": x} for x in random_images(number, size)]
    if model.is_two_step:
        for x, picture in zip(inputs, random_images(number, frame, seed=1)):
            # as pictures come from files: bytes, the colours side by side
            picture = picture.byte().permute(1, 2, 0).contiguous().permute(2, 0, 1)
            x.update(original_image=picture, height=frame[0], width=frame[1])
    return inputs


def build_for_inference(
    cfg: CfgNode, detections: int, proposals: int = PROPOSALS, seed: int = 0
) -> nn.Module:
    """A network in eval mode whose detector reports ``detections`` people in every image.

    An untrained detector does all its work but finds nothing, or anything. What it finds is
    replaced by boxes of people's sizes, so that the re-id head has the same work behind each.
    """
    torch.manual_seed(seed)
    model = build_model(cfg).eval()
    report_people(model, detections, proposals)
    return model


def report_people(model: nn.Module, number: int, proposals: int = PROPOSALS) -> None:
    """From now on the detector reports ``number`` people in every image, whatever it finds.

    Heads that take some proposals at a time look at ``proposals`` of them, rounded up to turns.
    """

    def replace(module, inputs, outputs):
        return [{"instances": _people(x["instances"], number)} for x in outputs]

    model.detector.register_forward_hook(replace)
    heads = getattr(model.detector, "roi_heads", None)
    if getattr(heads, "proposals_at_a_time", 0):
        _look_at(heads, proposals)


def _look_at(heads: nn.Module, number: int) -> None:
    """From now on heads that take some proposals at a time look at ``number`` of every image's.

    Each turn but the last one has a person of a higher score than those before, the last has none.
    """
    turns, done = math.ceil(number / heads.proposals_at_a_time), 0

    def start(module, inputs):
        nonlocal done
        done = 0

    def replace(module, inputs, outputs):
        nonlocal done
        logits, deltas = outputs
        done = done % turns + 1
        logits = torch.zeros_like(logits)
        logits[:, -1] = 1e4  # background: a score of 0 for a person
        if done < turns:
            logits[0, -1] = -1.0 - done
        return logits, deltas

    heads.register_forward_pre_hook(start)
    heads.box_predictor.register_forward_hook(replace)


def _people(found: Instances, number: int) -> Instances:
    boxes = person_boxes(number, found.image_size).to(found.pred_boxes.device)
    people = Instances(found.image_size)
    people.pred_boxes = Boxes(boxes)
    people.scores = boxes.new_ones(number)
    people.pred_classes = boxes.new_zeros(number, dtype=torch.int64)
    if found.has("stage_boxes"):
        people.stage_boxes = boxes[:, None].repeat(1, found.stage_boxes.shape[1], 1)
    return people


def parts_of(model: nn.Module) -> dict[str, list[nn.Module]]:
    """The modules that a breakdown tells apart, of those that the network has."""
    modules = dict(model.named_modules())
    parts = {p: [modules[n] for n in names if n in modules] for p, names in PARTS.items()}
    return {part: found for part, found in parts.items() if found}


def count_parameters(module: nn.Module) -> int:
    """Parameters, trained or not, without what a checkpoint holds besides (statistics, memory)."""
    return sum(p.numel() for p in module.parameters())


def count_multiply_adds(run: Callable[[], object]) -> int | None:
    """Multiply-adds of convolutions and matrix products, which papers call FLOPs, of one run.

    None if PyTorch counts nothing, as 2.4 does in inference mode.
    """
    counter = FlopCounterMode(display=False)
    with counter:
        run()
    return counter.get_total_flops() // 2 or None


def run_whole(model: nn.Module, inputs: list[dict], dtype: torch.dtype | None = None):
    """One pass of detector and f_r, in a type; None: float32."""
    model.inference_dtype = dtype
    return model(inputs)


def run_detector(model: nn.Module, inputs: list[dict], dtype: torch.dtype | None = None):
    """The detector as the network calls it, without f_r."""
    reid, model.reid = model.reid, None
    try:
        return run_whole(model, inputs, dtype)
    finally:
        model.reid = reid


def sizes_of(model: nn.Module, image: list[dict]) -> dict[str, int | None]:
    """Parameters and, on one image, multiply-adds, of the whole network and of its detector."""
    return {
        "parameters": count_parameters(model),
        "detector parameters": count_parameters(model.detector),
        "multiply-adds": count_multiply_adds(lambda: run_whole(model, image)),
        "detector multiply-adds": count_multiply_adds(lambda: run_detector(model, image)),
    }


def training_batch(number: int, size: tuple[int, int], persons: int, seed: int = 0) -> list[dict]:
    """``number`` images with ``persons`` labelled people in each."""
    batch = []
    for index, image in enumerate(random_images(number, size, seed)):
        instances = Instances(size)
        instances.gt_boxes = Boxes(person_boxes(persons, size, seed + index))
        instances.gt_classes = torch.zeros(persons, dtype=torch.int64)
        instances.gt_person_ids = torch.arange(persons) + index * persons
        batch.append({"image": image, "instances": instances})
    return batch


def training_step(cfg: CfgNode, model: nn.Module, batch: list[dict]) -> Callable[[], None]:
    """A function that takes one step of training a model: losses, gradients, optimiser.

    In mixed precision on CUDA it casts and scales as Detectron2's trainer does.
    """
    model.train()
    optimizer = build_optimizer(cfg, model)
    dtype = training_type(cfg) if model.device.type == "cuda" else None
    scaler = torch.amp.GradScaler(model.device.type, enabled=dtype is not None)

    def step() -> None:
        with EventStorage(), autocast(model.device, dtype):
            losses = model(batch)
        optimizer.zero_grad()
        scaler.scale(sum(losses.values())).backward()
        scaler.step(optimizer)
        scaler.update()

    return step

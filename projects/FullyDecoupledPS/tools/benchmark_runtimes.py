#!/usr/bin/env python
"""Time networks in other runtimes beside PyTorch: torch.compile, ONNX Runtime, OpenVINO.

    python benchmark_runtimes.py                          four untrained networks at 900 x 1500
    python benchmark_runtimes.py --models output/demo/reid --image FILE
    python benchmark_runtimes.py --only pytorch openvino --config-files prw/fcos_R50.yaml

PyTorch's is the network as `person-search` runs it. The others run the whole network, exported to
ONNX as export_model.py does, or compiled. All run in turns, on the CPU and one picture; a ratio is
the median over the rounds of two times of the same round. A runtime is timed only if its boxes,
scores and features are PyTorch's, within what the export allows, at two sizes of the picture
(torch.compile, which compiles minutes for each: at one); else the reason is told. Where PyTorch
computes in a reduced type (as person-search does if the processor has instructions for it), those
that do so too are compared with float32, and more loosely: see benchmark/runtimes.py.
"""

import argparse
import logging
import statistics
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from detectron2.modeling import build_model
from tabulate import tabulate

from benchmark.machine import processor_name
from benchmark.runtimes import (
    REDUCED_TOLERANCE,
    OpenVinoSession,
    TorchSession,
    check_reduced,
    compiled_session,
    onnxruntime_session,
)
from benchmark.timing import add_clock_argument, clock_of, median_ratio, time_in_turns, timed
from benchmark.untrained_run import write_untrained_run
from fully_decoupled_ps.checkpoint import load_parts
from fully_decoupled_ps.config import last_checkpoint, load_config
from fully_decoupled_ps.errors import UserError
from fully_decoupled_ps.export import TOLERANCE, WholeNetwork, require_packages, write_checked
from fully_decoupled_ps.export.checks import check_graph
from fully_decoupled_ps.predictor import load_image, load_network
from fully_decoupled_ps.utils.allocator import keep_large_buffers
from fully_decoupled_ps.utils.arguments import whole_number
from fully_decoupled_ps.utils.commands import command_parser, in_one_line
from fully_decoupled_ps.utils.files import write_json

RUNTIMES = ("pytorch", "compile", "onnxruntime", "openvino")
CONFIGS = ("faster_rcnn_R50", "faster_rcnn_R50_lite", "retinanet_R50", "fcos_R50")
# So that an untrained network finds somebody; scores of many boxes would be equal else.
SPREAD = 30.0
LAST_LAYERS = ("cls_score", "objectness_logits")
# The same of a box head, whose scores rounding may not move: the deviation of its logits.
DEVIATION = 3.0
BOX_HEAD = "detector.roi_heads.box_predictor.cls_score"


def write_run(config_file: str, folder: Path, args: argparse.Namespace) -> str:
    """An untrained network that finds up to ``--detections`` people."""
    opts = ["TEST.DETECTIONS_PER_IMAGE", args.detections]
    opts += ["MODEL.DETECTOR.PROPOSALS_AT_A_TIME", 0]  # as in an exported graph
    for detector in ("RETINANET", "FCOS"):
        opts += [f"MODEL.{detector}.SCORE_THRESH_TEST", 0.001]
    write_untrained_run(config_file, folder, [*opts, *args.opts])
    file = folder / "model_final.pth"
    checkpoint = torch.load(file, weights_only=True)
    weights = checkpoint["model"]
    for name, value in weights.items():
        if name.endswith(tuple(f"{layer}.weight" for layer in LAST_LAYERS)):
            value *= SPREAD
    torch.save(checkpoint, file)
    if f"{BOX_HEAD}.weight" in weights:
        scale, bias = _find_people(plain_network(str(folder)), args)
        weights[f"{BOX_HEAD}.weight"] *= scale
        weights[f"{BOX_HEAD}.bias"] = weights[f"{BOX_HEAD}.bias"] * scale + bias
        torch.save(checkpoint, file)
    return str(folder)


def _find_people(network, args: argparse.Namespace) -> tuple[torch.Tensor, torch.Tensor]:
    """What a box head's last layer is multiplied by, and added to it, so that of the picture's
    proposals about ``--detections`` score above 0.5, in the order that they have."""
    outputs = []
    layer = network.get_submodule(BOX_HEAD)
    hook = layer.register_forward_hook(lambda module, inputs, output: outputs.append(output))
    with torch.no_grad():
        network([{"image": picture(args, args.size)}])
    hook.remove()
    margins = (outputs[0][:, 0] - outputs[0][:, -1]).sort(descending=True).values
    scale = DEVIATION / margins.std()
    # NMS takes some of them
    number = min(2 * args.detections, len(margins) - 1)
    bias = torch.zeros(outputs[0].shape[1])
    bias[0] = -scale * (margins[number - 1] + margins[number]) / 2
    return scale, bias


def plain_network(model: str):
    """The network as it was trained, neither folded nor laid out anew, for export and check."""
    folder = Path(model)
    checkpoint = last_checkpoint(model)
    if not checkpoint:
        raise UserError(f"--models {model} holds no checkpoint; name a training's output folder")
    opts = ["MODEL.DEVICE", "cpu", "MODEL.WEIGHTS", checkpoint]
    cfg = load_config(str(folder / "config.yaml"), [*opts, "SOLVER.STAGE", "reid"])
    cfg.MODEL.REID.NUM_IDS = 0  # taken from the checkpoint
    network = build_model(cfg).eval()
    load_parts(network, cfg)
    return network


def picture(args: argparse.Namespace, size: tuple[int, int]) -> torch.Tensor:
    """(3, H, W), 0 to 255: the user's, or smooth colours."""
    if args.image:
        pixels = torch.from_numpy(load_image(args.image).pixels.copy()).permute(2, 0, 1)[None]
    else:
        generator = torch.Generator().manual_seed(0)
        pixels = torch.rand(1, 3, size[0] // 30, size[1] // 30, generator=generator) * 255
    return F.interpolate(pixels.float(), size=size, mode="bilinear")[0]


def measure(model: str, args: argparse.Namespace, folder: Path) -> list[dict]:
    """A record for each runtime of one network."""
    plain = plain_network(model)
    graph, image = WholeNetwork(plain), picture(args, args.size)
    path = folder / "whole.onnx"
    seconds, reason = {}, {}
    try:
        seconds["export"], _ = timed(write_checked, graph, plain, [image], path)
    except UserError as error:
        reason["export"] = str(error)
    network = load_network(model, device="cpu", precision="auto").model  # as person-search index
    if hasattr(network.detector, "roi_heads"):
        network.detector.roi_heads.proposals_at_a_time = 0  # as the exported graph: the same work
    dtype = network.inference_dtype
    makers = {
        "pytorch": lambda: TorchSession(network),
        "compile": partial(compiled_session, network, args.threads),
        "onnxruntime": partial(onnxruntime_session, path, args.threads),
        "openvino": partial(OpenVinoSession, path, args.threads, dtype),
    }
    records, cases = [], {}
    for name in dict.fromkeys(("pytorch", *args.only)):
        record = {"model": Path(args.names[model]).stem, "runtime": name}
        records.append(record)
        start = time.perf_counter()
        try:
            if reason and name in ("onnxruntime", "openvino"):
                raise UserError(reason["export"])
            session = makers[name]()
            images = [image] if name == "compile" else [image, image[:, ::2, ::2].contiguous()]
            # the ONNX file's type is float32, which ONNX Runtime keeps
            is_reduced = dtype is not None and name != "onnxruntime"
            check = check_reduced if is_reduced else partial(check_graph, graph)
            record["difference"], record["boxes"] = check(session, plain, images)
            allowed = REDUCED_TOLERANCE if is_reduced else TOLERANCE
            if not record["difference"] <= allowed:
                raise UserError(
                    f"a feature differs by {record['difference']:.1e}, allowed {allowed:.0e}"
                )
            cases[name] = partial(session.run, None, {"image": image.numpy()})
        except Exception as error:  # whatever a runtime raises
            lines = [line for line in str(error).strip().splitlines() if line] or [repr(error)]
            record["fails"] = lines[-1][:120]
        record["to make ready, s"] = time.perf_counter() - start
    with torch.no_grad():
        rounds = time_in_turns(cases, args.rounds, torch.device("cpu"), clock_of(args))
    for record in records:
        if (name := record["runtime"]) in rounds:
            record["ms"] = 1e3 * statistics.median(rounds[name])
            if "pytorch" in rounds:
                record["to pytorch"] = median_ratio(rounds[name], rounds["pytorch"])
            record["rounds"] = rounds[name]
    return records


def parse_args() -> argparse.Namespace:
    parser = command_parser(__doc__)
    add, positive = parser.add_argument, whole_number(1)
    add("--config-files", nargs="+", default=[f"prw/{name}.yaml" for name in CONFIGS], metavar="F")
    add("--models", nargs="+", default=[], metavar="FOLDER", help="trained ones, instead")
    add("--opts", nargs="+", default=[], metavar="KEY VALUE", help="of the config files")
    add("--only", nargs="+", choices=RUNTIMES, default=RUNTIMES)
    add("--image", metavar="FILE", help="a picture instead of smooth colours")
    add("--size", type=whole_number(32), nargs=2, default=(900, 1500), metavar=("H", "W"))
    add("--detections", type=positive, default=10, help="at most, of an untrained network")
    add("--rounds", type=positive, default=5)
    add("--threads", type=positive, default=torch.get_num_threads())
    add_clock_argument(parser)
    add("--output", type=Path, help="write the figures there as JSON")
    return parser.parse_args()


@in_one_line
def main() -> None:
    args = parse_args()
    require_packages()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    keep_large_buffers()
    torch.set_num_threads(args.threads)
    records = []
    with tempfile.TemporaryDirectory(prefix="benchmark_runtimes_") as name:
        folder = Path(name)
        args.names = {model: model for model in args.models}
        for config_file in () if args.models else args.config_files:
            run = write_run(config_file, folder / Path(config_file).stem, args)
            args.names[run] = config_file
        for model in args.names:
            records += measure(model, args, folder)
            print(f"{Path(args.names[model]).stem}: done", file=sys.stderr, flush=True)
    columns = ("model", "runtime", "boxes", "difference", "to make ready, s", "ms", "to pytorch")
    table = [[record.get(column) for column in (*columns, "fails")] for record in records]
    print(tabulate(table, (*columns, "fails"), tablefmt="pipe", floatfmt=".3g"))
    if args.output:
        machine = {"processor": processor_name(), "threads": args.threads}
        write_json(args.output, {**machine, "torch": str(torch.__version__), "records": records})


if __name__ == "__main__":
    sys.exit(main())

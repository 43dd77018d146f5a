"""What is measured is the whole network, with as many people as it is told."""

import json
import statistics
from functools import partial
from pathlib import Path

import pytest
import torch
from detectron2.modeling import build_model
from torch import nn

from benchmark import command as benchmark
from benchmark import comparison
from benchmark.machine import peak_mebibytes
from benchmark.networks import (
    benchmark_config,
    build_for_inference,
    count_multiply_adds,
    count_parameters,
    inference_inputs,
    parts_of,
    person_boxes,
    run_detector,
    training_batch,
    training_step,
)
from fully_decoupled_ps.modeling import precision
from tests.modeling.crop_networks import CROPS
from tests.testing import CONFIGS, TINY

COAT = ("MODEL.COAT.DIM", 32, "MODEL.COAT.NUM_HEADS", 2)
PARTS = {"detector: backbone", "detector: heads", "re-id: side-net", "re-id: head"}


def config(name, stage="reid"):
    return benchmark_config(str(CONFIGS / "prw" / f"{name}.yaml"), stage, [*TINY, *COAT])


@pytest.mark.parametrize("name", ["faster_rcnn_R50", "retinanet_R50", "fcos_R50", "coat_R50"])
def test_every_image_has_the_people_that_are_asked_for(name):
    model = build_for_inference(config(name), detections=7)
    outputs = model([{"image": torch.rand(3, 64, 96) * 255} for _ in range(2)])
    for x in outputs:
        found = x["instances"]
        assert len(found) == len(found.reid_features) == 7
        assert torch.allclose(found.pred_boxes.tensor, person_boxes(7, (64, 96)))
    proposals = {"detector: proposals"} if name in ("faster_rcnn_R50", "coat_R50") else set()
    assert parts_of(model).keys() == PARTS | proposals


def test_boxes_of_people_are_inside_the_picture():
    boxes = person_boxes(200, (90, 150))
    assert (boxes >= 0).all() and (boxes[:, 2] <= 150).all() and (boxes[:, 3] <= 90).all()
    heights = boxes[:, 3] - boxes[:, 1]
    assert heights.min() > 0.14 * 90 and heights.max() < 0.51 * 90


def test_multiply_adds_and_parameters_of_a_convolution():
    conv = nn.Conv2d(3, 8, kernel_size=5, padding=2)
    x = torch.rand(1, 3, 10, 20)
    assert count_multiply_adds(lambda: conv(x)) == 8 * 3 * 5 * 5 * 10 * 20
    assert count_parameters(conv) == 8 * 3 * 5 * 5 + 8


def test_a_step_trains():
    batch = training_batch(2, (64, 96), persons=3)
    assert [x["instances"].gt_person_ids.tolist() for x in batch] == [[0, 1, 2], [3, 4, 5]]
    cfg = config("faster_rcnn_R50")
    model = build_model(cfg)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    training_step(cfg, model, batch)()
    changed = {n for n, x in model.state_dict().items() if not torch.equal(x, before[n])}
    assert "reid.side_net.res3.0.conv1.weight" in changed and "reid.memory.lookup_table" in changed
    assert not any(name.startswith("detector.") for name in changed)


def _prepare(mebibytes):
    return partial(torch.ones, mebibytes, 2**18)


def test_peak_memory_is_that_of_the_run():
    assert 200 < peak_mebibytes(partial(_prepare, 200), torch.device("cpu")) < 300


@pytest.mark.parametrize("what", ["inference", "training"])
def test_the_command(what, tmp_path, capsys):
    path = tmp_path / "figures.json"
    config_file = str(CONFIGS / "prw" / "faster_rcnn_R50.yaml")
    own = {
        "inference": "--size 64 96 --batch-sizes 1 2 --autocast bfloat16",
        "training": "--train-size 64 96 --workers 0 --stages reid detached",
    }
    fast = ["--rounds", "2", "--no-memory"]
    arguments = [what, "--config-files", config_file, *own[what].split(), *fast]
    opts = ["--opts", *map(str, TINY)]
    assert benchmark.main([*arguments, "--output", str(path), *opts]) == 0
    records = json.loads(path.read_text())["records"]
    printed = capsys.readouterr().out
    assert all(r["model"] == "faster_rcnn_R50" and r["ms"] > 0 for r in records)
    if what == "inference":
        cases = [(1, "float32"), (1, "bfloat16"), (2, "float32"), (2, "bfloat16")]
        assert [(r["batch"], r["type"]) for r in records] == cases
        assert all(r["parameters"] > r["detector parameters"] > 0 for r in records)
        counts = {(r["multiply-adds"], r["detector multiply-adds"]) for r in records}
        if torch.__version__.startswith("2.4."):  # it counts nothing in inference mode
            assert None in {both for both, _ in counts} and "not counted" in printed
        else:
            assert all(both > detector > 0 for both, detector in counts)
        assert all(PARTS < r["parts ms"].keys() for r in records)
        assert "re-id: side-net" in printed
    else:
        steps = ["detection", "reid, n = 1", "reid, n = 1, res3 again", "reid, n = 1, all again"]
        steps += ["reid, n = 1, ORD", "reid, n = 9", "reid, n = 9, all again", "reid, n = 9, ORD"]
        steps += ["detached"]
        assert [r["step"] for r in records] == steps and records[0]["ratio"] == 1
        assert all(step in printed for step in steps)


def watched_runs(monkeypatch):
    """What is run of the first network: the model, and in which type."""
    runs = []

    def run(model, inputs, dtype=None):
        runs.append((model, dtype))
        return run_detector(model, inputs, dtype)

    monkeypatch.setattr(comparison, "run_detector", run)
    monkeypatch.setattr(precision, "cpu_has_bfloat16", lambda: True)
    return runs


def is_channels_last(weight):
    return weight.is_contiguous(memory_format=torch.channels_last)


def test_networks_are_compared_in_turns(tmp_path, capsys, monkeypatch):
    path = tmp_path / "figures.json"
    names = ("faster_rcnn_R50", "faster_rcnn_R50_lite", "faster_rcnn_R50_minor")
    files = [str(CONFIGS / "prw" / f"{name}.yaml") for name in names]
    arguments = ["--size", "64", "96", "--rounds", "3", "--output", str(path), "--processor-time"]
    arguments += ["--plain", "MODEL.RPN.POST_NMS_TOPK_TEST", "7"]
    opts = ["--opts", *map(str, TINY)]
    plain = watched_runs(monkeypatch)
    assert benchmark.main(["compare", "--config-files", *files, *arguments, *opts]) == 0
    records = json.loads(path.read_text())["records"]
    assert tuple(r["model"] for r in records) == (*names, "faster_rcnn_R50, plain detector")
    assert records[0]["to first"] == records[0]["detector to first"] == 1
    *records, base = records
    assert (
        base["to plain detector"] == 1 and base["parameters"] == records[0]["detector parameters"]
    )
    whole, detector = records[0]["rounds"]["whole"], base["rounds"]["whole"]
    ratios = [a / b for a, b in zip(whole, detector)]
    assert records[0]["to plain detector"] == statistics.median(ratios)
    # as Detectron2 has it: norms, planes and float32; beside it as the network is used
    (as_built, dtype), (used, used_dtype) = plain[:2]
    assert (dtype, used_dtype) == (None, torch.bfloat16)
    stem, used_stem = (x.detector.backbone.stem.conv1 for x in (as_built, used))
    assert stem.norm is not None and not is_channels_last(stem.weight)
    assert used_stem.norm is None and is_channels_last(used_stem.weight)
    assert as_built.detector.proposal_generator.post_nms_topk[False] == 7
    assert all(len(r["rounds"]["whole"]) == len(r["rounds"]["detector"]) == 3 for r in records)
    sizes = [r["parameters"] for r in records]
    assert sizes == sorted(sizes, reverse=True) and len(set(sizes)) == 3
    f_r = {r["parameters"] - r["detector parameters"] for r in records}
    assert len(f_r) == 1  # is full
    assert "whole, to the plain detector" in capsys.readouterr().out
    assert benchmark.main(["compare"]) == 2
    assert "name one network or more" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments, said",
    [
        (
            "training --processor-time",
            "--processor-time is of compare alone; leave it out of train",
        ),
        ("inference --plain MODEL.CHANNELS_LAST True", "--plain is of compare alone"),
        ("compare --no-memory", "--no-memory is of inference and training alone"),
        ("compare --batch-sizes 8", "--batch-sizes is of inference alone"),
        ("compare --batch-sizes 1 8", "--batch-sizes is of inference alone"),  # as by default
        ("compare --autocast float16", "--autocast is of inference alone"),
        ("compare --stages joint", "--stages is of training alone"),
        ("inference --train-batch 7", "--train-batch is of training alone"),
        ("inference --workers 0", "--workers is of training alone"),
        ("training --proposals 4", "--proposals is of inference and compare alone"),
        ("compare --plain TEST.AUTOCAST bfloat16", "--plain TEST.AUTOCAST has no effect"),
        ("compare --opts MODEL.WEIGHTS x.pth", "--opts MODEL.WEIGHTS has no effect"),
        ("inference --opts TEST.AUTOCAST auto", "--opts TEST.AUTOCAST has no effect"),
        ("training --opts SOLVER.BASE_LR 0.1", "--opts SOLVER.BASE_LR has no effect"),
        (
            "training --opts MODEL.REID.BOX_NOISE.NUM_COPIES 3",
            "--opts MODEL.REID.BOX_NOISE.NUM_COPIES has no effect",
        ),
    ],
)
def test_an_option_without_effect_is_refused(arguments, said, monkeypatch, capsys):
    monkeypatch.setattr(benchmark, "run", lambda args: pytest.fail("it was measured"))
    assert benchmark.main([*arguments.split(), "--config-files", "prw/fcos_R50.yaml"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {said}")


def test_every_option_is_read_somewhere_and_others_stay():
    args = vars(benchmark.parse_args(["compare"]))
    shared = {"what", "config_files", "opts", "peer", "rounds", "threads", "output"}
    assert args.keys() - shared == {name for names in benchmark.OPTIONS.values() for name in names}
    given = "compare --peer a.py b.py --rounds 3 --proposals 7 --opts MODEL.CHANNELS_LAST True"
    changed = vars(benchmark.parse_args(given.split()))
    assert {k: str(v) for k, v in changed.items() if v != args[k]} == {
        "peer": str([Path("a.py"), Path("b.py")]),
        "rounds": "3",
        "proposals": "7",
        "opts": "['MODEL.CHANNELS_LAST', 'True']",
    }
    # in the other stages it has an effect
    opts = ["--opts", "MODEL.REID.BOX_NOISE.NUM_COPIES", "3"]
    benchmark._check_opts(benchmark.parse_args(["training", "--stages", "joint", *opts]))


def test_a_two_step_network_is_measured_beside_its_parts(tmp_path, capsys):
    path = tmp_path / "figures.json"
    arguments = ["inference", "--config-files", str(CONFIGS / "Base-TwoStep.yaml")]
    arguments += ["--size", "64", "96", "--frame", "128", "192", "--batch-sizes", "2"]
    arguments += ["--rounds", "2", "--no-memory", "--detections", "4", "--output", str(path)]
    assert benchmark.main([*arguments, "--opts", *map(str, (*TINY, *CROPS))]) == 0
    (record,) = json.loads(path.read_text())["records"]
    assert record["crops ms"] > 0 and record["ratio to parts"] > 0
    rounds = record["rounds"]
    assert {name: len(seconds) for name, seconds in rounds.items()} == {
        "detector": 2,
        "whole": 2,
        "crops": 2,
    }
    assert record["parts ms"]["re-id: crop network"] > 0
    assert "to both together" in capsys.readouterr().out


def test_people_are_found_in_the_picture_itself():
    cfg = benchmark_config(str(CONFIGS / "Base-TwoStep.yaml"), "reid", [*TINY, *CROPS])
    model = build_for_inference(cfg, detections=7)
    inputs = inference_inputs(model, 2, (64, 96), (128, 192))
    for output in model(inputs):
        boxes = output["instances"].pred_boxes.tensor
        assert torch.allclose(boxes, person_boxes(7, (128, 192)))


@pytest.mark.parametrize(("option", "values"), [("--rounds", "0"), ("--size", "31 900")])
def test_numbers_out_of_range(option, values, capsys):
    with pytest.raises(SystemExit) as exit:
        benchmark.main(["inference", option, *values.split()])
    assert exit.value.code == 2
    message = f"{option}: '{values.split()[0]}' is not a whole number of "
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("proposals, looked_at", [(4, 4), (5, 8), (12, 12), (50, 20)])
def test_heads_look_at_as_many_proposals_as_they_are_told(proposals, looked_at):
    opts = ["MODEL.DETECTOR.PROPOSALS_AT_A_TIME", 4, "MODEL.RPN.POST_NMS_TOPK_TEST", 20]
    opts += ["MODEL.RPN.NMS_THRESH", 1.0]  # so that there are so many
    cfg = benchmark_config(str(CONFIGS / "prw" / "faster_rcnn_R50.yaml"), "reid", [*TINY, *opts])
    model = build_for_inference(cfg, 7, proposals)
    seen = []
    pooler = model.detector.roi_heads.pooler
    pooler.register_forward_pre_hook(lambda module, inputs: seen.append(len(inputs[1][0])))
    inputs = [{"image": torch.rand(3, 64, 96) * 255} for _ in range(2)]
    for _ in range(2):
        assert [len(x["instances"]) for x in model(inputs)] == [7, 7]
    assert sum(seen) == 2 * 2 * looked_at and max(seen) == 4

"""Networks that a file of the user's builds, timed in the same turns as ours."""

import json
import re

import pytest
import torch

from benchmark import command as benchmark
from benchmark import comparison, inference
from benchmark.networks import random_images
from benchmark.peers import build_peers
from fully_decoupled_ps import UserError
from tests.testing import CONFIGS, PROJECT, TINY

CPU = torch.device("cpu")
CONFIG = str(CONFIGS / "prw" / "faster_rcnn_R50.yaml")
FAST = {
    "inference": "--size 64 96 --batch-sizes 2 --no-memory --rounds 2",
    "compare": "--size 64 96 --rounds 2",
    "training": "--train-size 64 96 --workers 0 --no-memory --rounds 2 --stages detached",
}
# A convolution, which says that the images are those of our network; what it imports is beside it.
CONVOLUTION = """
import torch
from torch import nn
from beside_it import CHANNELS
from benchmark.networks import random_images, training_batch

def build(height, width, device):
    model = nn.Conv2d(3, CHANNELS, kernel_size=5, padding=2).to(device).eval()
    def run(inputs):
        assert not torch.is_grad_enabled()
        images = torch.stack([x["image"] for x in inputs])
        assert torch.equal(images, random_images(len(inputs), (height, width)))
        return model(images)
    run.module = model
    return run

def build_training(height, width, device):
    def step(batch):
        assert torch.is_grad_enabled()
        (first, *_) = training_batch(1, (height, width), persons=3)
        assert torch.equal(batch[0]["instances"].gt_person_ids, first["instances"].gt_person_ids)
    return step
"""
PARAMETERS = 8 * 3 * 5 * 5 + 8
NETWORK = "from torch import nn\ndef build(height, width, device):\n    return {}\n"


# What has not been worked out when it is returned.
LAZY = """
from collections import namedtuple
from concurrent.futures import Future
from multiprocessing.pool import ThreadPool
import torch
Named = namedtuple("Named", ["boxes"])
async def later(inputs): pass
async def steps(inputs): yield 1
def ahead(inputs): return Future()
def in_a_pool(inputs):
    with ThreadPool(1) as pool:
        return pool.apply_async(len, [inputs])
def late_failure(inputs): yield 1 / 0
def build(height, width, device): return {}
"""
GENERATOR = """
import torch
def work(x):
    x["image"] += 1
    x["grad"] = torch.is_grad_enabled()
def step(inputs):
    for x in inputs:
        yield work(x)
def build(height, width, device):
    return lambda inputs: {}
"""


@pytest.fixture
def peers(tmp_path):
    """Two files: one that exposes its network, and one that is a function alone."""
    (tmp_path / "beside_it.py").write_text("CHANNELS = 8")
    paths = [tmp_path / "convolution.py", tmp_path / "nothing.py"]
    paths[0].write_text(CONVOLUTION)
    paths[1].write_text(NETWORK.format("len") + "build_training = build")
    return list(map(str, paths))


def made_up_times(cases, rounds, device, clock=None, fresh=None):
    """Each of the cases is run; the n-th takes n seconds, and twice that in the second round."""
    for name, run in cases.items():
        run(*([fresh[name]()] if name in fresh else []))
    return {name: [n, 2 * n] for n, name in enumerate(cases, start=1)}


def figures(what, peers, folder, *arguments):
    path = folder / "figures.json"
    command = [what, "--config-files", CONFIG, "--peer", *peers, "--output", str(path), *arguments]
    assert benchmark.main([*command, *FAST[what].split(), "--opts", *map(str, TINY)]) == 0
    return json.loads(path.read_text())


def cells(line):
    """Of a row of a printed table."""
    return [x.strip() for x in line.split("|")[1:-1]]


def test_beside_our_inference(peers, tmp_path, monkeypatch, capsys):
    order = []

    def time_in_turns(cases, *args, **kwargs):
        order.extend(cases)
        return made_up_times(cases, *args, **kwargs)

    monkeypatch.setattr(inference, "time_in_turns", time_in_turns)
    (record,) = figures("inference", peers, tmp_path)["records"]
    assert len(order) == 4  # the peers', then the detector and the whole network
    first, second = record["peers"]
    assert (first["model"], first["parameters"]) == ("convolution", PARAMETERS)
    assert (second["model"], second["parameters"]) == ("nothing", None)
    if not torch.__version__.startswith("2.4."):  # it counts nothing in inference mode
        assert first["multiply-adds"] == 8 * 3 * 5 * 5 * 64 * 96  # of one image
    assert first["rounds"] == [1, 2] and first["ms"] == 750  # 1.5 s for two images
    assert (first["ratio"], second["ratio"]) == (4, 2)
    head, _, row = map(cells, capsys.readouterr().out.splitlines()[:3])
    assert head[-4:] == ["convolution, ms/image", "whole, to convolution", "nothing, ms/image",
                         "whole, to nothing"]  # fmt: skip
    assert row[-4:] == ["750", "4.00", "1500", "2.00"]


def test_compared_with_one_network(peers, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(comparison, "time_in_turns", made_up_times)
    records = figures("compare", peers, tmp_path)["records"]
    ours, plain, *theirs = records
    assert [r["model"] for r in theirs] == ["convolution", "nothing"]
    assert [r["to first"] for r in theirs] == [r["ms"] / ours["ms"] for r in theirs]
    assert [r["to plain detector"] for r in theirs] == [r["ms"] / plain["ms"] for r in theirs]
    assert theirs[0]["parameters"] == PARAMETERS and "detector parameters" not in theirs[0]
    row = cells(capsys.readouterr().out.splitlines()[4])
    assert row[:2] == ["convolution", "0.0"] and "" in row  # no detector of its own


def test_a_step_of_training(peers, tmp_path, capsys):
    result = figures("training", peers, tmp_path)
    assert result["environment"]["peers"] == peers
    last = result["records"][-2:]
    assert [r["step"] for r in last] == ["peer convolution", "peer nothing"]
    assert all(r["ratio"] > 0 and len(r["rounds"]) == 2 for r in last)
    assert "peer convolution" in capsys.readouterr().out


# Halves the images, as another project's preprocessing may, the first in place; and takes a person.
CHANGING = """
def build(height, width, device):
    def run(inputs):
        assert all(x["image"].shape == (3, height, width) for x in inputs)
        assert inputs[0]["image"].max() > 200
        inputs[0]["image"].div_(2)
        for x in inputs:
            x["image"] = x["image"][:, ::2, ::2]
            if "instances" in x:
                x["instances"].gt_boxes.tensor.zero_()
    return run
build_training = build
"""


@pytest.mark.parametrize("what", ["inference", "compare", "training"])
def test_a_peer_that_changes_its_inputs_changes_nobody_elses(what, tmp_path, monkeypatch):
    seen = []

    def see(function):
        def seeing(model, inputs, *args):
            seen.append((inputs[0]["image"].shape[1:], inputs[0]["image"].mean().item()))
            return function(model, inputs, *args)

        return seeing

    def see_step(cfg, model, batch):
        def step():
            boxes = batch[0]["instances"].gt_boxes
            seen.append((batch[0]["image"].shape[1:], boxes.area().sum().item()))

        return step

    module = comparison if what == "compare" else inference
    monkeypatch.setattr(module, "run_whole", see(module.run_whole))
    monkeypatch.setattr(module, "run_detector", see(module.run_detector))
    monkeypatch.setattr(benchmark, "training_step", see_step)
    path, other = tmp_path / "changing.py", tmp_path / "other.py"
    path.write_text(CHANGING)
    other.write_text(CHANGING)
    figures(what, [str(path), str(other)], tmp_path)
    assert len(seen) > 4 and len(set(seen)) == 1 and seen[0][0] == (64, 96)


def test_a_network_is_its_own_module(tmp_path):
    path = tmp_path / "linear.py"
    forward = "class Mine(nn.Linear):\n    def forward(self, inputs):\n        return inputs\n"
    path.write_text("from torch import nn\n" + forward + NETWORK.format("Mine(3, 4)"))
    (peer,) = build_peers([path], (64, 96), CPU)
    assert peer.facts([])["parameters"] == 16


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "no such file"),
        ("import no_such_package", "reading it failed: ModuleNotFoundError: No module named"),
        ("def build(:", "reading it failed: SyntaxError: "),
        ("build = 3", r"it has no function build\(height, width, device\)"),
        ("def build(size): pass", r"build\(64, 96, cpu\) failed: TypeError: build\(\) takes 1"),
        (NETWORK.format("None"), "build returned NoneType, expected a callable"),
        (NETWORK.format("lambda inputs: 1 / 0"), "running it failed: ZeroDivisionError: division"),
        (
            "import argparse\nargparse.ArgumentParser().parse_args(['compare'])",
            "reading it failed: SystemExit: 2",
        ),
        ("raise SystemExit", "reading it failed: SystemExit: no message"),
        (NETWORK.format("exit"), "running it failed: SystemExit: "),
        (
            NETWORK.format("lambda inputs: len"),
            "running it failed: TypeError: it returned builtin_f",
        ),
        (
            LAZY.format("later"),
            "running it failed: TypeError: it returned coroutine, whose work is",
        ),
        (
            LAZY.format("steps"),
            "running it failed: TypeError: it returned async_generator, whose",
        ),
        (LAZY.format("ahead"), "running it failed: TypeError: it returned Future, whose work is"),
        *(
            (
                LAZY.format(f"lambda x: {within}"),
                f"running it failed: TypeError: it returned {kind}",
            )
            for within, kind in (
                ("[later(x)]", "coroutine"),
                ("{'boxes': later(x)}", "coroutine"),
                ("Named(later(x))", "coroutine"),
                ("torch.futures.Future()", "Future"),
                ("in_a_pool(x)", "ApplyResult"),
            )
        ),
        (LAZY.format("late_failure"), "running it failed: ZeroDivisionError: division"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_what_is_wrong_with_a_file_is_one_line_that_names_it(text, message, tmp_path):
    path = tmp_path / "peer.py"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UserError, match=f"^--peer {path}: {message}") as error:
        build_peers([path], (64, 96), CPU)[0].run([])
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize(
    "lazy", ["step(inputs)", "map(work, inputs)", "[step(inputs)]", "(step([x]) for x in inputs)"]
)
def test_a_generator_is_run_to_its_end(lazy, tmp_path):
    path = tmp_path / "generator.py"
    path.write_text(GENERATOR.format(lazy))
    (peer,) = build_peers([path], (64, 96), CPU)
    inputs = [{"image": torch.zeros(3, 4, 4)} for _ in range(3)]
    peer.run(inputs)
    assert [x["image"].sum() for x in inputs] == [48] * 3
    assert not inputs[0]["grad"]


def test_the_documented_file(tmp_path):
    text = (PROJECT / "BENCHMARKS.md").read_text()
    (example,) = re.findall(r"```python\n(# torchvision_fpn.py\n.*?)```", text, re.DOTALL)
    path = tmp_path / "torchvision_fpn.py"
    path.write_text(example)
    (peer,) = build_peers([path], (64, 96), CPU)
    inputs = [{"image": x} for x in random_images(2, (64, 96))]
    # torchvision's with 91 classes, 2 instead of them, and the batch norms' that are frozen there
    parameters = 41_755_286 - (91 - 2) * 5 * (1024 + 1) + 53_120
    assert peer.facts(inputs)["parameters"] == parameters
    assert [set(x) for x in peer.run(inputs)] == [{"boxes", "labels", "scores"}] * 2


def test_wrong_uses(peers, tmp_path, capsys):
    same = tmp_path / "other" / "nothing.py"
    assert benchmark.main(["compare", "--config-files", CONFIG, "--peer", *peers, str(same)]) == 2
    assert "two files are named nothing.py; rename one" in capsys.readouterr().err
    assert benchmark.main(["compare", "--peer", *peers]) == 2
    assert "name one network or more with --config-files" in capsys.readouterr().err
    text = tmp_path / "peer.txt"
    text.write_text("")
    with pytest.raises(UserError, match="its name has to end in .py"):
        build_peers([text], (64, 96), CPU)
    with pytest.raises(UserError, match="no function build_training"):
        beside = tmp_path / "beside_it.py"
        build_peers([beside], (64, 96), CPU, training=True)

"""The side-net runs beside the detector: from when, and with what result."""

import pytest
import torch
from torch import nn

from fully_decoupled_ps.modeling.side_net_run import SideNetRun
from tests.testing import image, make_model

INPUTS = [{"image": image(1), "queries": [[4, 6, 30, 60]]}]


def test_it_starts_when_the_bottom_up_has_finished():
    model, calls = make_model("reid"), []
    expected = ["detector.backbone.res4", "reid.side_net", "detector.proposal_generator"]
    for name in expected:
        model.get_submodule(name).register_forward_hook(lambda *args, name=name: calls.append(name))
    model(INPUTS)
    assert calls == expected  # in the order in which they finish


def test_training_computes_it_once_and_behind_the_detector():
    model = make_model("joint", train=True)
    with model.feature_tap.record() as maps:
        model.detector.backbone(torch.rand(1, 3, 64, 96))
    assert list(maps) == ["res2", "res3", "res4"]


def test_on_a_cpu_it_is_computed_at_the_start():
    run = SideNetRun(nn.Identity(), torch.device("cpu"))
    run.start({"res2": 2})
    assert run.stream is None and run.result() == {"res2": 2}


class StandInStream:
    """Writes down who waits for whom, where there is no GPU to do it."""

    def __init__(self, name, events):
        self.name, self.events = name, events
        self.device = torch.device("cuda")

    def wait_stream(self, other):
        self.events.append(f"{self.name} waits for {other.name}")

    def __enter__(self):
        self.events.append(f"on {self.name}")

    def __exit__(self, *exception):
        self.events.append(f"off {self.name}")


class RecordedOutput:
    def __init__(self, events):
        self.events = events

    def record_stream(self, stream):
        self.events.append(f"output is kept for {stream.name}")


def test_streams_wait_for_what_they_read(monkeypatch):
    events = []
    main, side = StandInStream("main", events), StandInStream("side", events)
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: side)
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: stream)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: main)

    def side_net(maps):
        events.append("side-net")
        return [RecordedOutput(events)]

    run = SideNetRun(side_net, torch.device("cuda"))
    run.start("maps")
    events.append("detector")
    run.result()
    assert events == [
        "side waits for main", "on side", "side-net", "off side", "detector",
        "main waits for side", "output is kept for main",
    ]  # fmt: skip


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_cuda_its_own_stream_changes_no_bit(monkeypatch):
    model = make_model("reid").cuda()
    beside = model(INPUTS)[0]
    cpu = torch.device("cpu")  # as without a stream
    monkeypatch.setattr(
        "fully_decoupled_ps.modeling.meta_arch.SideNetRun", lambda net, device: SideNetRun(net, cpu)
    )
    alone = model(INPUTS)[0]
    assert torch.equal(beside["query_features"], alone["query_features"])
    assert torch.equal(beside["instances"].reid_features, alone["instances"].reid_features)

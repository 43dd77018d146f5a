"""What autocast may round, and what it must not."""

import pytest
import torch
from detectron2.layers import NaiveSyncBatchNorm, ROIAlign
from detectron2.modeling import build_model
from detectron2.utils import comm
from detectron2.utils.events import EventStorage
from torch import nn

from fully_decoupled_ps import UserError
from fully_decoupled_ps.modeling.precision import (
    TYPES,
    autocast,
    channels_last_at_inference,
    choose_autocast,
    cpu_has_bfloat16,
    is_emulated,
    keep_boxes_in_float32,
    keep_statistics_in_float32,
    name_of,
    precision_from_config,
    training_type,
)
from tests.processes import run_processes
from tests.testing import (
    CONFIGS,
    TINY,
    image,
    make_config,
    make_model,
    randomize_norms,
    training_input,
    unit_rows,
)

CPU = torch.device("cpu")
DETECTORS = ["faster_rcnn", "faster_rcnn_fpn", "cascade_rcnn_fpn", "retinanet", "fcos", "coat"]


# --- which type ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "flags, has", [("fpu avx512f avx512_bf16", True), ("fp asimd bf16", True), ("avx512bw", False)]
)
def test_the_processor_is_asked(tmp_path, flags, has):
    path = tmp_path / "cpuinfo"
    path.write_text(f"processor : 0\nflags\t: {flags}\n")
    assert cpu_has_bfloat16(str(path)) is has


def test_a_processor_that_says_nothing_has_none(tmp_path):
    assert not cpu_has_bfloat16(str(tmp_path / "nothing"))


@pytest.mark.parametrize("has, dtype", [(True, torch.bfloat16), (False, None)])
def test_auto_takes_what_the_processor_has(monkeypatch, has, dtype):
    monkeypatch.setattr("fully_decoupled_ps.modeling.precision.cpu_has_bfloat16", lambda: has)
    assert choose_autocast("auto", CPU) == dtype


@pytest.mark.parametrize(
    "name, dtype",
    [("float32", None), ("bfloat16", torch.bfloat16), ("float16", torch.float16)],
)
def test_a_named_type(name, dtype):
    assert choose_autocast(name, CPU) == dtype
    assert name_of(dtype) == name


def test_an_unknown_type_is_refused():
    with pytest.raises(UserError, match="allowed are auto, float32"):
        choose_autocast("half", CPU)


@pytest.mark.parametrize("has, told", [(True, ["float16"]), (False, ["bfloat16", "float16"])])
def test_what_has_no_instructions_on_a_processor(monkeypatch, has, told):
    monkeypatch.setattr("fully_decoupled_ps.modeling.precision.cpu_has_bfloat16", lambda: has)
    assert [name for name, dtype in TYPES.items() if is_emulated(dtype, CPU)] == told
    assert not any(is_emulated(dtype, torch.device("cuda")) for dtype in TYPES.values())


def test_mixed_precision_of_training_on_a_cpu_is_the_networks_own():
    cfg = make_config("reid", ("MODEL.DEVICE", "cpu", "SOLVER.AMP.ENABLED", True))
    assert precision_from_config(cfg)["training_dtype"] == torch.bfloat16
    assert training_type(cfg) == torch.bfloat16
    cfg.MODEL.DEVICE = "cuda"  # Detectron2's AMPTrainer casts and scales there
    assert precision_from_config(cfg)["training_dtype"] is None
    assert training_type(cfg) == torch.float16


@pytest.mark.parametrize("has, dtype", [(True, torch.bfloat16), (False, None)])
def test_training_takes_what_the_processor_has(monkeypatch, has, dtype):
    monkeypatch.setattr("fully_decoupled_ps.modeling.precision.cpu_has_bfloat16", lambda: has)
    cfg = make_config("reid", ("MODEL.DEVICE", "cpu"))
    found = precision_from_config(cfg)
    assert found["training_dtype"] == dtype and found["channels_last"] is has
    cfg.SOLVER.AMP.ENABLED = False
    found = precision_from_config(cfg)
    assert found["training_dtype"] is None and found["channels_last"] is False


@pytest.mark.parametrize("key", ["MODEL.RESNETS.NORM", "MODEL.REID.SIDE_NET.NORM"])
def test_group_norm_keeps_the_order_of_maps_in_training_on_a_cpu(key):
    cfg = make_config("reid", ("MODEL.DEVICE", "cpu", "SOLVER.AMP.ENABLED", True, key, "GN"))
    assert precision_from_config(cfg)["channels_last"] is False
    cfg.MODEL.CHANNELS_LAST = True
    assert precision_from_config(cfg)["channels_last"] is True
    cfg.MODEL.CHANNELS_LAST, cfg.MODEL.DEVICE = None, "cuda"
    assert precision_from_config(cfg)["channels_last"] is True


def test_training_on_a_gpu_is_mixed_only_if_it_is_asked_for(monkeypatch):
    monkeypatch.setattr("fully_decoupled_ps.modeling.precision.cpu_has_bfloat16", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 0))
    cfg = make_config("reid", ("MODEL.DEVICE", "cuda:0", "SOLVER.AMP.ENABLED", None))
    assert training_type(cfg) is None
    cfg.SOLVER.AMP.ENABLED = True
    assert training_type(cfg) == torch.float16
    assert precision_from_config(cfg)["training_dtype"] is None


def test_a_precision_of_training_that_is_none():
    cfg = make_config("reid", ())
    for wrong in ("bfloat16", 1):
        cfg.SOLVER.AMP.ENABLED = wrong
        with pytest.raises(UserError, match=f"ENABLED is {wrong!r}; allowed are True, False, None"):
            training_type(cfg)


# --- norms of several processes --------------------------------------------------------------

FAR_FROM_ZERO = 4 + 0.2 * torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(5))


def normalize():
    """In each of two processes one of two pictures."""
    norm = nn.Sequential(NaiveSyncBatchNorm(3, stats_mode="N")).train()
    keep_statistics_in_float32(norm)
    rank = comm.get_rank()
    out = norm(FAR_FROM_ZERO[rank : rank + 1].to(torch.bfloat16))
    return out.detach(), norm[0].running_var


def test_bfloat16_has_the_variance_that_both_processes_pictures_have(tmp_path):
    found = run_processes(normalize, 2, tmp_path)
    given = FAR_FROM_ZERO.to(torch.bfloat16).double()
    mean, var = given.mean((0, 2, 3)), given.var((0, 2, 3), unbiased=False)
    expected = (given - mean[:, None, None]) / (var[:, None, None] + 1e-5).sqrt()
    for rank, (out, running) in enumerate(found):
        torch.testing.assert_close(out[0].double(), expected[rank], atol=0.01, rtol=0.01)
        torch.testing.assert_close(running.double(), 0.9 + 0.1 * var, atol=1e-4, rtol=0)


def test_a_network_knows_of_it():
    opts = ("MODEL.REID.SIDE_NET.NORM", "naiveSyncBN_N")
    norms = [m for m in make_model("reid", opts).modules() if isinstance(m, NaiveSyncBatchNorm)]
    assert norms and all(len(norm._forward_pre_hooks) == 1 for norm in norms)


# --- boxes -----------------------------------------------------------------------------------


def test_rois_keep_their_coordinates():
    # one bright pixel, at 1001: bfloat16 knows 1000 and 1004, and nothing between
    maps = torch.zeros(1, 1, 4, 2048, dtype=torch.bfloat16)
    maps[..., 1001] = 1
    pool = nn.Sequential(ROIAlign((1, 1), spatial_scale=1.0, sampling_ratio=1, aligned=True))
    keep_boxes_in_float32(pool)
    with autocast(CPU, torch.bfloat16):
        pooled = pool[0](maps, torch.tensor([[0, 1001.0, 1.0, 1002.0, 2.0]]))
    assert pooled.dtype == torch.float32
    assert pooled.item() == 1


SMALL = (
    *("MODEL.RETINANET.SCORE_THRESH_TEST", 0.0, "MODEL.FCOS.SCORE_THRESH_TEST", 0.0),
    *("MODEL.FPN.OUT_CHANNELS", 64, "MODEL.RETINANET.NUM_CONVS", 1, "MODEL.FCOS.NUM_CONVS", 1),
    *("MODEL.COAT.DIM", 32, "MODEL.COAT.NUM_HEADS", 2, "MODEL.REID.NUM_IDS", 4),
)
BATCH = [training_input([0, 1, -1], seed=1), training_input([2, 0], seed=2)]


def build(detector, stage="reid", opts=()):
    torch.manual_seed(0)
    config_file = CONFIGS / "prw" / f"{detector}_R50.yaml"
    model = build_model(make_config(stage, [*TINY, *SMALL, *opts], config_file=config_file))
    randomize_norms(model)
    return model.eval()


@pytest.mark.parametrize(
    "detector, dtype",
    [
        *((detector, torch.bfloat16) for detector in DETECTORS),
        # slow on a CPU, but there for an index that a GPU has made
        *((detector, torch.float16) for detector in ("faster_rcnn", "fcos")),
    ],
)
def test_inference_in_reduced_precision(detector, dtype):
    model = build(detector)
    inputs = [{"image": image(seed), "queries": [[4, 6, 30, 60]]} for seed in (1, 2)]
    exact = model(inputs)
    model.inference_dtype = dtype
    rounded = model(inputs)
    for x, y in zip(exact, rounded):
        found = y["instances"]
        fields = [found.pred_boxes.tensor, found.scores, found.reid_features, y["query_features"]]
        assert {field.dtype for field in fields} == {torch.float32}
        assert torch.allclose(found.reid_features.norm(dim=1), torch.ones(len(found)))
        similarity = (x["query_features"] * y["query_features"]).sum()
        assert similarity > 0.98  # it is the same person, and was rounded
        assert (x["query_features"] - y["query_features"]).abs().max() > 1e-5


def test_predictions_of_the_dense_heads_are_float32():
    # FCOS decodes in the type of its head's output, and would round its locations
    for detector in ("retinanet", "fcos"):
        head = build(detector).detector.head
        maps = [torch.rand(1, 64, 4, 4)] * 5
        with autocast(CPU, torch.bfloat16):
            outputs = head(maps)
        assert {x.dtype for output in outputs for x in output} == {torch.float32}


# --- training --------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", ["detection", "reid", "joint", "detached"])
def test_training_in_bfloat16(stage):
    exact = build("faster_rcnn", stage).train()
    rounded = build("faster_rcnn", stage, ["SOLVER.AMP.ENABLED", True]).train()
    seen = {}
    for model in (exact, rounded):
        if model.reid is not None:
            model.reid.memory.lookup_table.copy_(unit_rows(4, 256))
        torch.manual_seed(1)  # the same proposals are drawn, and the same noise
        with EventStorage():
            losses = model(BATCH)
        assert {loss.dtype for loss in losses.values()} == {torch.float32}
        sum(losses.values()).backward()
        trained = [p for p in model.parameters() if p.requires_grad]
        assert all(p.grad.dtype == torch.float32 and p.grad.isfinite().all() for p in trained)
        seen[model] = losses
    for name, loss in seen[exact].items():
        assert loss != seen[rounded][name]
        # loosely for boxes: proposals differ a little, and with them which few are drawn
        bounds = {"rtol": 0.5} if name == "loss_box_reg" else {"rtol": 0.1, "atol": 0.05}
        assert torch.allclose(loss, seen[rounded][name], **bounds), name


def test_losses_and_memory_see_float32_alone(monkeypatch):
    model = build("faster_rcnn", "reid", ["SOLVER.AMP.ENABLED", True]).train()
    model.reid.memory.lookup_table.copy_(unit_rows(4, 256))
    seen = []
    similarities = model.reid.memory.similarities

    def spy(embeddings):
        found = similarities(embeddings)
        seen.append((embeddings.detach(), found.detach()))
        return found

    monkeypatch.setattr(model.reid.memory, "similarities", spy)
    table = model.reid.memory.lookup_table.clone()
    with EventStorage():
        model(BATCH)
    (embeddings, found), *_ = seen
    rows = torch.cat([table, torch.zeros(5, 256)])
    exact = embeddings.double() @ rows.double().t()
    assert embeddings.dtype == found.dtype == torch.float32
    assert (found - exact).abs().max() < 1e-6  # of bfloat16 it would be 1e-3
    assert model.reid.memory.lookup_table.dtype == torch.float32
    assert torch.allclose(model.reid.memory.lookup_table.norm(dim=1), torch.ones(4), atol=1e-6)


# --- memory format ---------------------------------------------------------------------------


@pytest.mark.parametrize("said", [True, False])
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_the_memory_format_is_the_config_s(device, said):
    cfg = make_config("reid", ["MODEL.CHANNELS_LAST", said])
    cfg.MODEL.DEVICE = device
    assert channels_last_at_inference(cfg, torch.bfloat16) is said
    assert precision_from_config(cfg)["channels_last"] is said


@pytest.mark.parametrize(
    "device, dtype, is_last",
    [("cpu", None, True), ("cuda", None, False), ("cuda:1", torch.float16, True)],
)
def test_the_memory_format_where_nothing_is_said(device, dtype, is_last):
    cfg = make_config("reid")
    cfg.MODEL.DEVICE = device
    assert channels_last_at_inference(cfg, dtype) is is_last


def test_a_memory_format_that_is_none():
    with pytest.raises(UserError, match="MODEL.CHANNELS_LAST is 'yes'; allowed are True, False"):
        precision_from_config(make_config("reid", ["MODEL.CHANNELS_LAST", "yes"]))


def test_channels_last_changes_the_layout_and_nothing_else():
    plain, last = build("faster_rcnn"), build("faster_rcnn", opts=["MODEL.CHANNELS_LAST", True])
    last.load_state_dict(plain.state_dict())
    weight = last.reid.side_net.res3[0].conv1.weight
    assert weight.is_contiguous(memory_format=torch.channels_last)
    layouts = []
    last.reid.side_net.register_forward_hook(
        lambda module, inputs, x: layouts.append(x.is_contiguous(memory_format=torch.channels_last))
    )
    inputs = [{"image": image(1), "queries": [[4, 6, 30, 60]]}]
    x, y = plain(inputs)[0], last(inputs)[0]
    assert layouts == [True]
    assert torch.allclose(x["query_features"], y["query_features"], atol=1e-5)
    assert torch.allclose(
        x["instances"].pred_boxes.tensor, y["instances"].pred_boxes.tensor, atol=1e-3
    )

"""The training modes by their one command: what each starts from, resumes from and reports."""

import pytest
import torch
import torchvision

from fully_decoupled_ps import UserError
from fully_decoupled_ps.checkpoint import PersonSearchCheckpointer, initialize_side_net
from tests.small_run import SmallRun
from tests.testing import CONFIGS, RESNET18, make_model

RANDOM = ("MODEL.WEIGHTS", "", "MODEL.REID.SIDE_NET.WEIGHTS", "random")


@pytest.fixture
def run(tmp_path, restore_loggers):
    with SmallRun(tmp_path) as small_run:
        yield small_run


def weights(run, stage, name="model_final.pth"):
    return torch.load(run.output_dir / stage / name)["model"]


def test_hybrid_starts_from_the_detection_stage(run):
    config = CONFIGS / "prw" / "retinanet_R50.yaml"
    run.train(config, RANDOM)
    still = ["SOLVER.STAGE", "hybrid", "SOLVER.HYBRID_DETECTOR_LR", 0.0]
    run.train(config, [*RANDOM[2:], *still], iterations=1)
    detector = weights(run, "detection")
    hybrid = weights(run, "hybrid")
    # at a rate of 0 the detector's parameters stay; its running statistics need not
    parameters = {n for n in detector if n.endswith(("weight", "bias"))}
    assert len(parameters) > 20
    assert all(torch.equal(detector[n], hybrid[n]) for n in parameters)
    scalars = run.scalars("hybrid")
    assert {"loss_cls", "loss_box_reg", "loss_oim", "loss_triplet"} <= scalars.keys()
    assert {"detection", "search", "search_multi_view"} <= run.results("hybrid").keys()


@pytest.mark.parametrize("stage", ["joint", "detached"])
def test_both_nets_start_from_imagenet_at_once_and_resume(run, tmp_path, stage):
    published = torchvision.models.resnet18(weights=None).state_dict()
    path = str(tmp_path / "resnet18.pth")
    torch.save(published, path)
    config = CONFIGS / "prw" / "faster_rcnn_R50.yaml"
    opts = ["SOLVER.STAGE", stage, "MODEL.WEIGHTS", path, "MODEL.REID.SIDE_NET.WEIGHTS", path]
    opts += RESNET18
    still = ["SOLVER.BASE_LR", 0.0]
    run.train(config, [*opts, *still], iterations=1)
    state = weights(run, stage)
    for name, ours in (
        ("layer2.0.conv1.weight", "res3.0.conv1.weight"),
        ("layer3.1.conv2.weight", "res4.1.conv2.weight"),
    ):
        assert torch.equal(state[f"detector.backbone.{ours}"], published[name])
        assert torch.equal(state[f"reid.side_net.{ours}"], published[name])
    run.train(config, opts, resume=True, iterations=2)
    assert run.scalars(stage)["iteration"] == 1
    # the memory goes on from where it was
    before, after = (x["reid.memory.lookup_table"] for x in (state, weights(run, stage)))
    seen, seen_later = before.ne(0).any(dim=1), after.ne(0).any(dim=1)
    assert seen.any() and seen_later[seen].all() and not torch.equal(before, after)


@pytest.mark.parametrize("detector", ["faster_rcnn", "retinanet", "fcos"])
def test_detached_trains_the_detector_of_stage_detection(run, detector):
    """Bit by bit, in three steps of one schedule; and beside it f_r, which is evaluated with it."""
    config = CONFIGS / "prw" / f"{detector}_R50.yaml"
    schedule = ["SOLVER.REID.IMS_PER_BATCH", 2, "MODEL.FCOS.SCORE_THRESH_TEST", 0.0]
    run.train(config, [*RANDOM, *schedule], iterations=3)
    run.train(config, [*RANDOM, *schedule, "SOLVER.STAGE", "detached"], iterations=3)
    alone, both = weights(run, "detection"), weights(run, "detached")
    assert alone.keys() == {name for name in both if name.startswith("detector.")}
    assert all(torch.equal(both[name], value) for name, value in alone.items())
    losses = run.scalars("detached")
    assert {"loss_oim", "loss_triplet"} == {n for n in losses if n.startswith("loss_")} - {
        n for n in run.scalars("detection")
    }
    assert run.results("detached")["detection"] == run.results("detection")["detection"]
    assert run.results("detached")["search"].keys() >= {"mAP", "top1"}
    run.train(config, [*schedule, "SOLVER.STAGE", "detached"], eval_only=True)
    with pytest.raises(UserError, match="checkpoint is of stage detached, and .* is joint"):
        (run.output_dir / "detached").rename(run.output_dir / "joint")
        run.train(config, [*RANDOM, *schedule, "SOLVER.STAGE", "joint"], resume=True, iterations=4)


def test_fine_tuning_for_other_persons_starts_with_an_empty_memory(run, tmp_path):
    """As many persons as before, each seen in other images; then the same ones again."""
    config = CONFIGS / "prw" / "faster_rcnn_R50.yaml"
    run.train(config, [*RANDOM, "SOLVER.STAGE", "joint"], iterations=2)
    trained = run.output_dir / "joint" / "model_final.pth"
    start = ["SOLVER.STAGE", "reid", "MODEL.WEIGHTS", trained, "SOLVER.BASE_LR", 0.0]

    def rows_changed(name):
        """Of the memory, by one step on one image; a row that was seen is never emptied."""
        opts = [*start, "SOLVER.IMS_PER_BATCH", 1, "OUTPUT_DIR", run.output_dir / name]
        run.train(config, opts, iterations=1)
        state = torch.load(run.output_dir / name / "reid" / "model_final.pth")["model"]
        before = weights(run, "joint")
        for part in ("detector.backbone.res3.0.conv1.weight", "reid.side_net.res3.0.conv1.weight"):
            assert torch.equal(state[part], before[part])
        table, old = (x["reid.memory.lookup_table"] for x in (state, before))
        return int(table.ne(0).any(dim=1).sum()), int(old.ne(0).any(dim=1).sum())

    now, before = rows_changed("same")
    assert now >= before > 1
    run.rewrite_persons([0, 1, 2, 0, 1, 2])
    now, before = rows_changed("other")
    assert now == 1
    log = (run.output_dir / "other" / "reid" / "log.txt").read_text()
    assert "It was trained on other data (as many frames, boxes and identities" in log
    assert "The detector was trained on other data" not in log


def test_crowds_are_trained_around_or_refused(run):
    config = CONFIGS / "prw" / "faster_rcnn_R50.yaml"
    run.rewrite_persons([0, 0, 1, 1, 2, 2], crowd=[0, 0, 96, 64])
    run.train(config, RANDOM, iterations=1)
    # nothing but the persons themselves can be an example, and nobody is background
    assert run.scalars("detection")["rpn/num_neg_anchors"] < 10
    with pytest.raises(UserError, match="which RPN would learn as background"):
        run.train(config, [*RANDOM, "MODEL.PROPOSAL_GENERATOR.NAME", "RPN"])


def test_coupled_trains_by_its_config_alone(run):
    config = CONFIGS / "prw" / "coupled_fcos_R50.yaml"
    run.train(config, [*RANDOM[:2], "MODEL.FCOS.SCORE_THRESH_TEST", 0.0])
    assert {"loss_fcos_cls", "loss_oim", "loss_triplet"} <= run.scalars("joint").keys()
    assert {"detection", "search", "search_cws"} <= run.results("joint").keys()
    with pytest.raises(UserError, match="CoupledPersonSearch is one network"):
        run.train(config, [*RANDOM[:2], "SOLVER.STAGE", "detection"])


@pytest.mark.parametrize(
    "opts, message",
    [
        (["MODEL.DETECTOR.NAME", "Retinanet"], "DETECTOR.NAME: 'Retinanet' is not .* RetinaNet"),
        (["MODEL.REID.SIDE_NET.NAME", "VGG"], "SIDE_NET.NAME: 'VGG' is not .* OSNetSideNet"),
        (["MODEL.REID.FUSION.NAME", "Sum"], "FUSION.NAME: 'Sum' is not .* ConvFusion"),
        (["MODEL.REID.LOSSES", "('OIM',)"], "LOSSES: 'OIM' is not registered; .* OIMLoss"),
        (["SOLVER.STAGE", "hybrid"], "stage hybrid starts from a trained detector"),
    ],
)
def test_wrong_use_is_one_line(run, opts, message):
    config = CONFIGS / "prw" / "faster_rcnn_R50.yaml"
    with pytest.raises(UserError, match=message) as excinfo:
        run.train(config, [*RANDOM, *opts])
    assert "\n" not in str(excinfo.value)


# --- what a side-net starts from ------------------------------------------------------------


def osnet_model():
    opts = ["MODEL.REID.SIDE_NET.NAME", "OSNetSideNet", "MODEL.REID.FUSION.NAME", "ConvFusion"]
    return make_model("reid", opts)


def test_what_was_and_was_not_taken_is_reported(tmp_path, caplog):
    caplog.set_level("INFO", "fully_decoupled_ps")
    model = make_model("reid", (*RESNET18, "MODEL.REID.FUSION.NAME", "ConvFusion"))
    path = str(tmp_path / "resnet18.pth")
    torch.save(torchvision.models.resnet18(weights=None).state_dict(), path)
    initialize_side_net(model.reid, path, model.detector)
    taken = [n for n in model.reid.state_dict() if n.startswith(("side_net.res", "head.conv5."))]
    count = sum("num_batches" not in n for n in taken)
    assert f"starts from {path}: {count} of its {count + 4} tensors are taken" in caplog.text
    assert "new are fusions; of the file, not taken are res2, stem" in caplog.text


def test_osnet_takes_the_published_file_and_refuses_another(tmp_path):
    model = osnet_model()
    conv5 = model.reid.head.conv5
    path = str(tmp_path / "resnet18.pth")
    torch.save(torchvision.models.resnet18(weights=None).state_dict(), path)
    with pytest.raises(UserError, match="WEIGHTS .*resnet18.pth: .*none of its weights fit"):
        initialize_side_net(model.reid, path, model.detector)
    with pytest.raises(UserError, match="WEIGHTS detector: .* another architecture"):
        initialize_side_net(model.reid, "detector", model.detector)
    own = {**model.reid.side_net.state_dict(), **conv5.state_dict(prefix="res5.")}
    names = {"res5.weight": "conv5.conv.weight", "res5.norm.weight": "conv5.bn.weight"}
    state = {names.get(n, n): torch.rand_like(v) for n, v in own.items() if v.dim()}
    state["fc.0.weight"] = torch.rand(512, 512)
    torch.save(state, tmp_path / "osnet.pth")
    initialize_side_net(model.reid, str(tmp_path / "osnet.pth"), model.detector)
    assert torch.equal(conv5.weight, state["conv5.conv.weight"])
    del state["conv5.conv.weight"]
    torch.save(state, tmp_path / "osnet.pth")
    with pytest.raises(UserError, match="osnet.pth: 1 tensors .* not in it .* res5.weight"):
        initialize_side_net(model.reid, str(tmp_path / "osnet.pth"), model.detector)


def test_an_imagenet_file_is_no_trained_detector(tmp_path):
    path = str(tmp_path / "resnet18.pth")
    torch.save(torchvision.models.resnet18(weights=None).state_dict(), path)
    for stage in ("reid", "hybrid"):
        with pytest.raises(UserError, match="another architecture: .* detector.proposal"):
            PersonSearchCheckpointer(make_model(stage, RESNET18)).load(path, checkpointables=[])
    for stage in ("joint", "detached"):
        PersonSearchCheckpointer(make_model(stage, RESNET18)).load(path, checkpointables=[])


def test_mixed_precision_trains_both_stages_on_a_cpu_and_resumes(run):
    config = CONFIGS / "prw" / "fcos_R50.yaml"
    amp = ["SOLVER.AMP.ENABLED", True, "TEST.AUTOCAST", "bfloat16", "TEST.IMS_PER_BATCH", 4]
    run.train(config, [*RANDOM, *amp])
    run.train(config, [*RANDOM[2:], *amp, "SOLVER.STAGE", "reid"], iterations=1)
    run.train(config, [*RANDOM[2:], *amp, "SOLVER.STAGE", "reid"], resume=True, iterations=2)
    assert run.scalars("reid")["iteration"] == 1
    state = weights(run, "reid")
    assert {value.dtype for value in state.values()} == {torch.float32, torch.int64}
    assert {"detection", "search", "search_multi_view"} <= run.results("reid").keys()

"""What is checked of a whole config before any long work."""

import logging

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.utils import comm

from fully_decoupled_ps import UserError, check_config
from fully_decoupled_ps.config import load_config
from fully_decoupled_ps.engine.check_config import check_parts, check_test_numbers
from fully_decoupled_ps.engine.log_file import log_begun_after
from tests.testing import make_config


@pytest.fixture
def register():
    """Register a made-up set for one test: persons' ids a frame, and whether it has queries."""
    names = []

    def add(name, person_ids=((0, 1), (1, -1)), queries=False):
        dicts = [
            {"file_name": __file__, "annotations": [{"person_id": i} for i in frame]}
            for frame in person_ids
        ]
        DatasetCatalog.register(name, lambda: dicts)
        names.append(name)
        metadata = MetadataCatalog.get(name).set(evaluator_type="person_search")
        if queries:
            metadata.set(protocols_fn=lambda: {"full": []})
        return name

    yield add
    for name in names:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)


@pytest.fixture
def sets(register):
    register("made_up_train")
    register("made_up_test", queries=True)


def config(stage, *opts):
    sets = ("DATASETS.TRAIN", ("made_up_train",), "DATASETS.TEST", ("made_up_test",))
    return make_config(stage, ["MODEL.DEVICE", "cpu", *sets, "MODEL.WEIGHTS", "x.pth", *opts])


def refused(match):
    """A UserError of one line."""
    return pytest.raises(UserError, match=r"\A(?=[^\n]*\Z).*" + match)


def check(stage, *opts, eval_only=False):
    cfg = config(stage, *opts)
    cfg.freeze()  # it is a check, and changes nothing
    return check_config(cfg, eval_only=eval_only)


def test_identities_are_counted(sets):
    assert check("reid") == 2
    assert check("reid", "MODEL.REID.NUM_IDS", 2) == 2
    for eval_only, stage in ((True, "reid"), (False, "detection")):  # as the config says
        assert check(stage, "MODEL.REID.NUM_IDS", 7, eval_only=eval_only) == 7


def test_no_losses_are_refused(sets):
    with refused("MODEL.REID.LOSSES is empty, .*; registered are .*OIMLoss"):
        check("reid", "MODEL.REID.LOSSES", ())
    check("detection", "MODEL.REID.LOSSES", ())


def test_identities_that_the_data_contradict_are_refused(sets):
    with refused("MODEL.REID.NUM_IDS is 483, but made_up_train has 2 identities; set it to 0 .* 2"):
        check("reid", "MODEL.REID.NUM_IDS", 483)


def test_a_set_without_labelled_persons_trains_a_detector_only(sets, register):
    register("nobody", [(-1,), ()])
    check("detection", "DATASETS.TRAIN", ("nobody",))
    with refused("nobody has no labelled person; stage reid needs"):
        check("reid", "DATASETS.TRAIN", ("nobody",))


@pytest.mark.parametrize("stage", ["detection", "reid"])
@pytest.mark.parametrize("split", ["train", "test"])
def test_files_that_are_not_there_stop_a_run_or_are_skipped(sets, caplog, stage, split):
    dicts = DatasetCatalog.get(f"made_up_{split}")
    skip = ("INPUT.UNREADABLE_IMAGES", "skip")
    dicts[0]["file_name"] = "gone.jpg"
    with refused(rf"made_up_{split}: 1 of 2 images are not there, 'gone.jpg' for one; put .*skip"):
        check(stage)
    check(stage, *skip)
    assert f"made_up_{split}: 1 of 2 images are not there, 'gone.jpg' for one; " in caplog.text
    dicts[1]["file_name"] = "gone_too.jpg"
    for opts in ((), skip):  # then it is the folder that is wrong
        with refused(f"made_up_{split}: 2 of 2 images are not there.* correct its image folder"):
            check(stage, *opts)


def test_a_detector_is_not_trained_on_nothing(sets, register):
    register("empty", [])
    register("background", [(), ()])
    with refused("empty has no image; take it out of DATASETS.TRAIN"):
        check("detection", "DATASETS.TRAIN", ("made_up_train", "empty"))
    with refused("background: no image has a box; stage detection needs"):
        check("detection", "DATASETS.TRAIN", ("background",))
    check("detection", "DATASETS.TRAIN", ("background", "made_up_train"))


@pytest.mark.parametrize("eval_only", [False, True])
def test_a_test_set_without_images_is_refused_before_training(sets, register, eval_only):
    register("empty", [], queries=True)
    with refused("empty has no image; take it out of DATASETS.TEST"):
        check("reid", "DATASETS.TEST", ("empty",), eval_only=eval_only)


def test_a_set_whose_ids_have_gaps_is_refused_before_they_index_the_memory(sets, register):
    register("gaps", [(0, 5), (5, -1)])
    check("detection", "DATASETS.TRAIN", ("gaps",))
    with refused('gaps: its 2 person ids are not 0 to 1, .* register it with split="train"'):
        check("reid", "DATASETS.TRAIN", ("gaps",))


def test_two_training_sets_train_a_detector_only(sets, register):
    register("more")
    check("detection", "DATASETS.TRAIN", ("made_up_train", "more"))
    with refused("DATASETS.TRAIN names 2 datasets, whose person ids would be mixed up"):
        check("reid", "DATASETS.TRAIN", ("made_up_train", "more"))


@pytest.mark.parametrize("key", ["DATASETS.TRAIN", "DATASETS.TEST"])
def test_an_unregistered_set_is_refused_with_what_is_registered(sets, key):
    with refused(
        f"{key}: dataset 'prw_tset' is not registered; .*prw_test.*register_person_search"
    ):
        check("detection", key, ("prw_tset",))


def test_a_test_set_needs_queries(sets, register):
    with refused("'made_up_train' has no queries"):
        check("detection", "DATASETS.TEST", ("made_up_train",))


def test_sets_must_be_named(sets):
    with refused("DATASETS.TRAIN is empty"):
        check("detection", "DATASETS.TRAIN", ())
    check("detection", "DATASETS.TEST", ())
    with refused("DATASETS.TEST is empty"):
        check("detection", "DATASETS.TEST", (), eval_only=True)


def test_evaluation_does_not_need_the_training_set(sets):
    check("reid", "DATASETS.TRAIN", ("not_there",), eval_only=True)


def test_both_stages_read_their_sets(sets, register):
    """So that a folder that is not there is found before the network is built."""

    def refuse():
        raise UserError("PRW: folder not found")

    for name, key in (("absent_train", "DATASETS.TRAIN"), ("absent_test", "DATASETS.TEST")):
        register(name, queries=True)
        DatasetCatalog.remove(name)
        DatasetCatalog.register(name, refuse)
        MetadataCatalog.get(name).__dict__["protocols_fn"] = refuse
        for stage in ("detection", "reid"):
            with refused("folder not found"):
                check(stage, key, (name,))


def test_layers_are_not_frozen_at_random_values(sets):
    with refused("MODEL.WEIGHTS is empty while MODEL.BACKBONE.FREEZE_AT is 2"):
        check("detection", "MODEL.WEIGHTS", "")
    for freeze_at in (0, -1):  # neither freezes anything
        check("detection", "MODEL.WEIGHTS", "", "MODEL.BACKBONE.FREEZE_AT", freeze_at)


@pytest.mark.parametrize("stage", ["reid", "hybrid"])
def test_a_stage_that_starts_from_a_detector_needs_one(sets, stage):
    with refused(f"MODEL.WEIGHTS is empty, but stage {stage} starts from a trained detector"):
        check(stage, "MODEL.WEIGHTS", "", "MODEL.BACKBONE.FREEZE_AT", 0)


def test_an_unknown_device_is_refused(sets):
    with refused("MODEL.DEVICE is 'gpu'; say cuda or cpu"):
        check("detection", "MODEL.DEVICE", "gpu")


def test_a_gpu_that_is_not_there_is_refused(sets, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with refused("MODEL.DEVICE is cuda, but PyTorch sees no GPU; add MODEL.DEVICE cpu"):
        check("detection", "MODEL.DEVICE", "cuda")


@pytest.mark.parametrize(
    "key, value, known",
    [
        ("MODEL.META_ARCHITECTURE", "PersonSearch", "FullyDecoupledPersonSearch"),
        ("MODEL.DETECTOR.NAME", "FasterRCNN", "GeneralizedRCNN"),
        ("MODEL.BACKBONE.NAME", "resnet50", "build_resnet_backbone"),
        ("MODEL.PROPOSAL_GENERATOR.NAME", "Rpn", "RPN"),
        ("MODEL.ROI_HEADS.NAME", "Res5", "PersonRes5ROIHeads"),
        ("MODEL.FCOS.BOTTOM_UP", "resnet50", "build_narrow_resnet_backbone"),
        ("MODEL.REID.SIDE_NET.NAME", "ResNet", "ResNetSideNet"),
        ("MODEL.REID.FUSION.NAME", "Alpha", "AlphaBlendFusion"),
        ("MODEL.REID.LOSSES", ("OIMLoss", "Triplet"), "TripletLoss"),
    ],
)
def test_unknown_parts_are_refused_with_the_known_ones(sets, key, value, known):
    with refused(f"{key}: '.*' is not registered; registered are .*{known}"):
        check("reid", key, value)


@pytest.mark.parametrize("name", ["CoupledPersonSearch", "CoatPersonSearch", "TwoStepPersonSearch"])
def test_a_stream_of_crops_is_refused_where_there_is_no_place_for_it(sets, name):
    with refused(rf"MODEL.REID.ORD.ENABLED is True, .* not of {name}; set it to False"):
        check("reid", "MODEL.META_ARCHITECTURE", name, "MODEL.REID.ORD.ENABLED", True)
    assert check("reid", "MODEL.REID.ORD.ENABLED", True) == 2


@pytest.mark.parametrize(
    "key, value, known",
    [
        ("INPUT.UNREADABLE_IMAGES", "ignore", "stop, skip"),
        ("DATALOADER.SAMPLER_TRAIN", "Sampler", "TrainingSampler"),
    ],
)
def test_unknown_choices_are_refused_with_the_known_ones(sets, key, value, known):
    with refused(f"{key} is '{value}'; allowed are .*{known}"):
        check("detection", key, value)


def test_blocks_that_the_detector_has_not_are_refused_before_the_data_are_read():
    with refused(r"MODEL.DETECTOR.BLOCKS is \(3, 9, 2, 2\); it must be four whole numbers"):
        check("detection", "MODEL.DETECTOR.BLOCKS", (3, 9, 2, 2), "DATASETS.TRAIN", ("none",))


def test_proposals_at_a_time_have_no_effect_on_other_heads(caplog):
    for name in ("prw/faster_rcnn_fpn_R50", "prw/cascade_rcnn_fpn_R50", "prw/coat_R50"):
        check_parts(load_config(f"{name}.yaml", []))
    assert "PROPOSALS_AT_A_TIME" not in caplog.text
    check_parts(load_config("prw/faster_rcnn_R50.yaml", ["MODEL.ROI_HEADS.NAME", "CoatROIHeads"]))
    assert "PROPOSALS_AT_A_TIME is 50, which has no effect: heads that are no " in caplog.text
    assert "(MODEL.ROI_HEADS.NAME CoatROIHeads)" in caplog.text


def test_a_number_of_proposals_below_zero_is_refused_before_the_data_are_read():
    with refused("MODEL.DETECTOR.PROPOSALS_AT_A_TIME is -5; it must be 1 or more, or 0 for all"):
        check("detection", "MODEL.DETECTOR.PROPOSALS_AT_A_TIME", -5, "DATASETS.TRAIN", ("none",))


@pytest.mark.parametrize(
    "key, value, detector",
    [
        ("MODEL.RPN.PRE_NMS_TOPK_TEST", -1, "GeneralizedRCNN"),
        ("MODEL.RPN.POST_NMS_TOPK_TEST", 0, "GeneralizedRCNN"),
        ("MODEL.RETINANET.TOPK_CANDIDATES_TEST", 0, "PersonRetinaNet"),
        ("MODEL.FCOS.TOPK_CANDIDATES_TEST", -1, "FCOS"),
        ("TEST.DETECTIONS_PER_IMAGE", 0, "GeneralizedRCNN"),
        ("TEST.DETECTIONS_PER_IMAGE", 0, "FCOS"),
        ("TEST.DETECTIONS_PER_IMAGE", -1, "RetinaNet"),
    ],
)
def test_numbers_that_drop_detections_are_refused(key, value, detector):
    with refused(rf"{key} is {value};.* it must be 1 or more"):
        check("detection", "MODEL.DETECTOR.NAME", detector, key, value)


@pytest.mark.parametrize("detector", ["GeneralizedRCNN", "PersonRetinaNet", "FCOS"])
def test_all_detections_may_be_kept_and_other_detectors_numbers_do_not_matter(detector):
    cfg = config("detection", "MODEL.DETECTOR.NAME", detector, "TEST.DETECTIONS_PER_IMAGE", -1)
    for node, key in ("RPN", "POST_NMS_TOPK_TEST"), ("FCOS", "TOPK_CANDIDATES_TEST"):
        if (node == "FCOS") == (detector != "FCOS"):
            cfg.MODEL[node][key] = 0
    check_test_numbers(cfg)


def test_a_detector_may_do_without_a_proposal_generator(sets):
    check("detection", "MODEL.PROPOSAL_GENERATOR.NAME", "PrecomputedProposals")


def test_nothing_is_left_of_a_run_whose_config_is_refused(
    tmp_path, restore_loggers, monkeypatch, capsys
):
    """The console tells at once what was counted until then; the log file is not begun."""
    # as in a process that begins, whatever was run in this one
    monkeypatch.setattr(logging.getLogger("fully_decoupled_ps"), "handlers", [])
    logger = logging.getLogger("fully_decoupled_ps.data")
    folder = tmp_path / "output" / "detection"
    with pytest.raises(UserError), log_begun_after(str(folder)):
        logger.info("12 frames")
        raise UserError("refused")
    assert "12 frames" in capsys.readouterr().out and not list(tmp_path.iterdir())

    with log_begun_after(str(folder)):
        logger.info("12 frames")
        assert not folder.exists()
    logging.getLogger("fully_decoupled_ps").info("after")
    log = (folder / "log.txt").read_text()
    assert log.count("12 frames") == 1 and log.count("after") == 1
    assert capsys.readouterr().out.count("12 frames") == 1


@pytest.mark.parametrize(
    "processes, opts, message",
    [
        (2, ["SOLVER.IMS_PER_BATCH", 3], "IMS_PER_BATCH is 3, .* 2 processes of this run .* of 2"),
        (1, ["SOLVER.IMS_PER_BATCH", 0], "IMS_PER_BATCH is 0"),
        (
            2,
            ["SOLVER.IMS_PER_BATCH", 6, "SOLVER.REFERENCE_WORLD_SIZE", 4],
            "IMS_PER_BATCH is 6, .* 4 processes of SOLVER.REFERENCE_WORLD_SIZE .* of 4",
        ),
        (2, ["MODEL.REID.SIDE_NET.NORM", "SyncBN"], "SIDE_NET.NORM is SyncBN, .* naiveSyncBN_N"),
        (2, ["MODEL.RESNETS.NORM", "nnSyncBN", "SOLVER.STAGE", "joint"], "MODEL.RESNETS.NORM is"),
        (2, ["MODEL.DETECTOR.RES5_NORM", "SyncBN", "SOLVER.STAGE", "joint"], "RES5_NORM is SyncBN"),
    ],
)
def test_what_processes_cannot_share_is_refused(sets, monkeypatch, processes, opts, message):
    monkeypatch.setattr(comm, "get_world_size", lambda: processes)
    with refused(message):
        check("reid", "SOLVER.IMS_PER_BATCH", 4, *opts)


def test_what_processes_can_share(sets, monkeypatch):
    monkeypatch.setattr(comm, "get_world_size", lambda: 3)
    check("reid", "SOLVER.IMS_PER_BATCH", 6, "MODEL.RESNETS.NORM", "SyncBN")  # of a frozen net
    check("reid", "SOLVER.IMS_PER_BATCH", 4, "SOLVER.REFERENCE_WORLD_SIZE", 2)
    check("reid", "SOLVER.IMS_PER_BATCH", 4, eval_only=True)

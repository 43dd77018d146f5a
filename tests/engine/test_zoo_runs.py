"""Training with a detector of the model zoo, from a file as the zoo has them."""

import pickle

import torch
from detectron2 import model_zoo
from detectron2.modeling import build_model

from tests.small_run import SmallRun
from tests.testing import RESNET18

ZOO = "COCO-Detection/faster_rcnn_R_50_FPN_1x.yaml"
# A ResNet-18, so that it is fast; a zoo's config has no trainable norms
SMALL = (*RESNET18, "MODEL.RESNETS.NORM", "FrozenBN", "MODEL.BACKBONE.FREEZE_AT", 2)


def write_zoo_file(path) -> dict[str, torch.Tensor]:
    """A detector of 80 classes in the zoo's form; returns its tensors."""
    cfg = model_zoo.get_config(ZOO)
    cfg.merge_from_list([*SMALL, "MODEL.DEVICE", "cpu"])
    torch.manual_seed(0)
    state = build_model(cfg).state_dict()
    arrays = {name: value.numpy() for name, value in state.items()}
    path.write_bytes(pickle.dumps({"model": arrays, "__author__": "Detectron2 Model Zoo"}))
    return state


def test_f_r_is_trained_on_a_zoo_file_and_f_d_from_its_persons(tmp_path, restore_loggers):
    state = write_zoo_file(tmp_path / "zoo.pkl")
    given = [
        *("MODEL.WEIGHTS", str(tmp_path / "zoo.pkl"), *SMALL, "MODEL.REID.SIDE_NET.WEIGHTS"),
        *("detector", "MODEL.REID.POOLER_RESOLUTION", (4, 2)),
    ]
    with SmallRun(tmp_path) as run:
        run.train(ZOO, [*given, "SOLVER.STAGE", "reid"], iterations=1)
        assert "search" in run.results("reid")
        trained = torch.load(run.output_dir / "reid" / "model_final.pth")["model"]
        for name, value in state.items():
            assert torch.equal(trained[f"detector.{name}"], value), name

        run.train(ZOO, [*given, "SOLVER.STAGE", "detection", "SOLVER.BASE_LR", 0.0], iterations=1)
        tuned = torch.load(run.output_dir / "detection" / "model_final.pth")["model"]
        weight = state["roi_heads.box_predictor.cls_score.weight"]
        kept = tuned["detector.roi_heads.box_predictor.cls_score.weight"]
        assert torch.equal(kept, weight[[0, 80]])

        # of the fine-tuned detector, which has one class, without being told so
        run.train(ZOO, [*SMALL, *given[-4:], "SOLVER.STAGE", "reid"], iterations=1)
        trained = torch.load(run.output_dir / "reid" / "model_final.pth")["model"]
        assert torch.equal(trained["detector.roi_heads.box_predictor.cls_score.weight"], kept)

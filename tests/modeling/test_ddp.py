"""Every kind of network in DistributedDataParallel: nobody waits for a gradient that never comes.

DDP is used as Detectron2's trainer uses it, without a search for unused parameters.
"""

import pytest
import torch
from detectron2.modeling import build_model
from detectron2.utils import comm
from torch.nn.parallel import DistributedDataParallel

from fully_decoupled_ps.engine.solver import build_optimizer
from tests.processes import run_processes
from tests.testing import CONFIGS, TINY, make_config, training_input

# Ids of the persons that each of two processes has in each step.
STEPS = (([0, 1, -1], []), ([], []), ([-1], [2, 3]), ([0, 1], [1]))

SMALL = (
    *TINY,
    *("MODEL.FPN.OUT_CHANNELS", 64, "MODEL.RETINANET.NUM_CONVS", 1, "MODEL.FCOS.NUM_CONVS", 1),
    *("MODEL.COAT.DIM", 32, "MODEL.COAT.NUM_HEADS", 2, "MODEL.REID.NUM_IDS", 4),
    *("SOLVER.BASE_LR", 1e-4, "SOLVER.HYBRID_DETECTOR_LR", 1e-5),
)
# half the width, where the detector's own backbone is the ResNet
NARROW = (
    *("MODEL.BACKBONE.NAME", "build_narrow_resnet_backbone"),
    *("MODEL.RESNETS.STEM_OUT_CHANNELS", 32, "MODEL.RESNETS.RES2_OUT_CHANNELS", 32),
)


def train(name, stage, opts=()):
    """Train a network in this process and the others.

    Returns the sum of every tensor that the processes should have in common.
    """
    opts = [*SMALL, *opts, *(() if "retinanet" in name or "fcos" in name else NARROW)]
    cfg = make_config(stage, opts, config_file=CONFIGS / "prw" / f"{name}.yaml")
    model = build_model(cfg).train()
    optimizer = build_optimizer(cfg, model)
    network = DistributedDataParallel(model, broadcast_buffers=False)
    for step, ids in enumerate(STEPS):
        losses = network([training_input(ids[comm.get_rank()], seed=step)])
        for some_losses in comm.all_gather(sorted(losses)):
            assert some_losses == sorted(losses)  # Detectron2 logs the means over the processes
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
    return {
        name: value.double().sum().item()
        for name, value in model.state_dict().items()
        if name.endswith((".weight", ".bias")) or ".memory." in name or ".head.norm." in name
    }


def check_equal(first, second):
    assert first == second
    assert all(torch.tensor(list(first.values())).isfinite())
    tables = [value for name, value in first.items() if name.endswith("lookup_table")]
    assert all(table != 0 for table in tables)
    return len(tables)


@pytest.mark.parametrize(
    "name, stage",
    [
        *(("faster_rcnn_R50", stage) for stage in ("detection", "reid", "hybrid", "detached")),
        *(("retinanet_R50", stage) for stage in ("detection", "joint")),
        *(("fcos_R50", stage) for stage in ("detection", "joint", "detached")),
        *(("coat_R50", stage) for stage in ("reid", "joint")),
        *((f"coupled_{d}_R50", "joint") for d in ("faster_rcnn", "retinanet", "fcos")),
    ],
)
def test_processes_train_together_also_without_persons(tmp_path, name, stage):
    tables = check_equal(*run_processes(train, 2, tmp_path, name, stage))
    assert tables == (0 if stage == "detection" else 2 if "coat" in name else 1)


@pytest.mark.parametrize("name, stage", [("faster_rcnn_R50", "reid"), ("fcos_R50", "detached")])
def test_processes_train_together_with_a_stream_of_crops(tmp_path, name, stage):
    """Each augments its crops by random numbers of its own."""
    opts = ("MODEL.REID.ORD.ENABLED", True, "MODEL.REID.ORD.CROP_SIZE", (64, 32))
    assert check_equal(*run_processes(train, 2, tmp_path, name, stage, opts)) == 2

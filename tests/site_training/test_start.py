"""What a training for a site may start from."""

import shutil

import pytest
import yaml

from fully_decoupled_ps import UserError
from fully_decoupled_ps.site_training.start import find_start


def test_a_run_of_two_nets_is_a_start_and_one_of_joint_training_is_not(run_folder, tmp_path):
    """In stage detached each net has learned from its own losses, as in detection and reid."""
    folder = shutil.copytree(run_folder, tmp_path / "run")
    config = yaml.safe_load((folder / "config.yaml").read_text())
    for stage in ("reid", "detached", "hybrid"):
        config["SOLVER"]["STAGE"] = stage
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
        start = find_start(str(folder))
        assert start.cfg.SOLVER.STAGE == stage and start.weights[1] == start.checkpoint
    config["SOLVER"]["STAGE"] = "joint"
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(UserError, match="trained as a whole .*stage joint"):
        find_start(str(folder))

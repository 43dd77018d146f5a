"""The comparison of runtimes takes the network that a training left last."""

import pytest
import torch

import benchmark_runtimes as tool
from fully_decoupled_ps import UserError


def test_the_last_checkpoint_is_taken(tmp_path, run_folder):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "config.yaml").write_text((run_folder / "config.yaml").read_text())
    name = (run_folder / "last_checkpoint").read_text()
    content = torch.load(run_folder / name, weights_only=False)
    torch.save(content, folder / "model_0000007.pth")
    with pytest.raises(UserError, match="run holds no checkpoint; name a training's output folder"):
        tool.plain_network(str(folder))
    (folder / "last_checkpoint").write_text("model_0000007.pth")
    network = tool.plain_network(str(folder))
    weights = network.state_dict()
    assert all(torch.equal(weights[key], content["model"][key]) for key in weights)

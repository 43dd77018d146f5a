"""The comparison of runtimes takes the network that a training left last."""

import argparse

import pytest
import torch

import benchmark_runtimes as tool
from fully_decoupled_ps import UserError
from tests.testing import CONFIGS, TINY


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


@pytest.mark.parametrize("seed", [0, 1])
def test_an_untrained_box_head_finds_some_of_its_proposals(tmp_path, monkeypatch, seed):
    write = tool.write_untrained_run
    monkeypatch.setattr(tool, "write_untrained_run", lambda *args: write(*args, seed=seed))
    opts = [*TINY, "MODEL.ROI_HEADS.SCORE_THRESH_TEST", 0.5, "MODEL.RPN.POST_NMS_TOPK_TEST", 40]
    args = argparse.Namespace(detections=5, opts=opts, image=None, size=(192, 288))
    run = tool.write_run(str(CONFIGS / "prw" / "faster_rcnn_R50.yaml"), tmp_path / "run", args)
    network, logits = tool.plain_network(run), []
    head = network.get_submodule(tool.BOX_HEAD)
    head.register_forward_hook(lambda module, inputs, output: logits.append(output))
    with torch.no_grad():
        found = network([{"image": tool.picture(args, args.size)}])[0]["instances"]
    margins = logits[0][:, 0] - logits[0][:, 1]
    assert 0 < len(found) <= 5 and (found.scores > 0.5).all()
    assert 12 < len(margins) and (margins > 0).sum() == 10  # twice as many, before NMS
    assert margins.std().item() == pytest.approx(tool.DEVIATION, rel=0.01)

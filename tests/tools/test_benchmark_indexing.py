"""The benchmark of indexing, on small pictures, a small video and a tiny network."""

import argparse

import pytest

import benchmark_indexing as tool
from benchmark import made_up_media
from fully_decoupled_ps import UserError
from fully_decoupled_ps.predictor import load_image, load_network, videos

ARGS = argparse.Namespace(model="", batch_size=2, workers=0, folder=None)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(made_up_media, "SIZE", (72, 128))
    monkeypatch.setattr(made_up_media, "FRAME_RATE", 5)


def test_pictures_and_a_video_are_made_indexed_and_measured(tmp_path, run_folder):
    network = load_network(str(run_folder), device="cpu")
    tool.report_people(network.model, 3)
    pictures = made_up_media.make_pictures(tmp_path / "pictures", 3)
    assert load_image(pictures / "00002.jpg").pixels.shape == (72, 128, 3)
    video = made_up_media.make_video(tmp_path / "video.mp4", 2)
    assert videos.count_frames(str(video)) == 10
    for name, path, frames in (("pictures", pictures, 3), ("video", video, 2)):
        row = tool.measure_work(name, path, network, ARGS)
        assert (row["frames"], row["persons"]) == (frames, 3 * frames)
        assert 0 < row["busy"] < 1 and 0 < row["waiting"] < 1
        assert row["busy"] + row["waiting"] < 1.001
        assert row["files alone, frames/s"] > 0 and row["frames/s"] > 0


def test_files_that_cannot_be_read_are_told(tmp_path, run_folder, caplog):
    network = load_network(str(run_folder), device="cpu")
    tool.report_people(network.model, 3)
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    with pytest.raises(UserError, match="broken.jpg") as error:
        tool.measure_work("pictures", tmp_path, network, ARGS)
    assert "\n" not in str(error.value)
    made_up_media.make_pictures(tmp_path / "pictures", 2)
    assert tool.measure_work("pictures", tmp_path, network, ARGS)["frames"] == 2
    assert "1 file(s) could not be read" in caplog.text and "broken.jpg" in caplog.text

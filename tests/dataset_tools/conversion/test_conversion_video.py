"""Frames of videos as pictures: those that were annotated."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fully_decoupled_ps.dataset_tools.conversion.video import extract_frames
from fully_decoupled_ps.errors import UserError

from ...data.coded_videos import damage, number_in, write_video


@pytest.mark.parametrize("name", ["v.ts", "v.mp4", "v.h264"])
def test_frame_n_is_the_nth_that_is_shown(tmp_path, name):
    """Whatever its time stamp; the pictures are JPEG."""
    stamps = range(40) if name == "v.h264" else [0, 1, 2, *range(30, 67)]
    video = write_video(tmp_path / name, stamps=stamps)
    found = extract_frames(Path(video), [40, 1, 4, 17], tmp_path / "out" / "walk")
    assert list(found) == [1, 4, 17, 40]
    for number, path in found.items():
        image = np.asarray(Image.open(path))
        assert number_in(image) == number - 1
    with pytest.raises(UserError, match="has 40 frames, but frame 41 is annotated"):
        extract_frames(Path(video), [41, 1], tmp_path / "out" / "walk")


def test_frames_of_a_damaged_video(tmp_path):
    """Those behind the damage have another number than the annotated one."""
    video = write_video(tmp_path / "v.mp4", stamps=range(60))
    damage(video, 0.40, 0.45)
    assert list(extract_frames(Path(video), range(1, 11), tmp_path / "out")) == [*range(1, 11)]
    with pytest.raises(UserError, match=r"v.mp4 is damaged behind its frame \d+ \(.*restore"):
        extract_frames(Path(video), range(1, 51), tmp_path / "out")

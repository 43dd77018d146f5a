"""What the network's package says of a user's mistake is an error of the application."""

import pytest

from person_search.errors import UserError
from person_search.media.frames import read_frame, sample_video
from person_search.network import load_network


@pytest.mark.parametrize(
    "call",
    [load_network, lambda path: read_frame(path, None), lambda path: list(sample_video(path, 1))],
    ids=["network", "picture", "video"],
)
def test_mistakes_are_this_packages_errors(call, tmp_path):
    with pytest.raises(UserError, match="nothing.mp4"):
        call(str(tmp_path / "nothing.mp4"))

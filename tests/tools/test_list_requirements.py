"""tools/list_requirements.py: one OpenCV at a time, and the extra that was asked for."""

import importlib.metadata
from pathlib import Path

import pytest

import list_requirements

REQUIREMENTS = [
    "torch>=2.4",
    "opencv-python>=4.8",
    'milvus-lite>=2.4; sys_platform != "nowhere" and extra == "dev"',
    'pywin32; sys_platform == "nowhere" and extra == "dev"',
    'umap-learn>=0.5; extra == "umap"',
    'trackers>=2.6; extra == "label"',
    'supervision>=0.26; extra == "label"',
]


@pytest.mark.parametrize("opencv", [[], ["opencv-python"]])
def test_opencv_is_required_by_its_name(opencv):
    chosen = list_requirements.select(REQUIREMENTS, ["dev"], opencv)
    assert chosen == ["torch>=2.4", "opencv-python>=4.8", "milvus-lite>=2.4"]


@pytest.mark.parametrize("other", ["opencv-python-headless", "opencv-contrib-python"])
def test_no_second_opencv_beside_another_build_of_it(other):
    assert list_requirements.select(REQUIREMENTS, [], [other]) == ["torch>=2.4"]


def test_what_would_bring_a_second_opencv_is_listed_apart():
    def chosen(no_deps, opencv):
        return list_requirements.select(REQUIREMENTS, ["label", "umap"], [opencv], no_deps)

    headless, own = "opencv-python-headless", "opencv-python"
    assert chosen(False, headless) == ["torch>=2.4", "umap-learn>=0.5", "supervision>=0.26"]
    assert chosen(True, headless) == ["trackers>=2.6"]
    assert "trackers>=2.6" in chosen(False, own) and chosen(True, own) == []


def test_the_one_in_use_is_said(monkeypatch, capsys):
    monkeypatch.setattr(
        importlib.metadata,
        "packages_distributions",
        lambda: {"cv2": ["opencv_python_headless", "opencv-python-headless"]},
    )
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "5.1")
    assert list_requirements.main(["--say-opencv"]) == 0
    out, err = capsys.readouterr()
    assert out == "[setup] OpenCV (cv2) is opencv-python-headless 5.1\n" and err == ""


def test_two_that_overwrite_each_other_are_warned_of(monkeypatch, capsys):
    names = ["opencv-python", "opencv-contrib-python"]
    monkeypatch.setattr(importlib.metadata, "packages_distributions", lambda: {"cv2": names})
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "5.1")
    list_requirements.main(["--say-opencv"])
    assert "2 distributions hold cv2" in capsys.readouterr().err


def test_setup_py_names_opencv_python():
    """The installed metadata may be older than setup.py: the source is read."""
    text = (Path(__file__).parents[2] / "setup.py").read_text()
    assert '"opencv-python>=' in text and "opencv-python-headless" not in text

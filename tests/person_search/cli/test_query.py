"""``person-search query``: who is asked for, what is printed and drawn, and what goes wrong."""

import csv
import io
import json
import os
import re
import shutil

import cv2
import numpy as np
import pytest

from fully_decoupled_ps.visualization.visualizer import CAPTION_HEIGHT
from person_search.index import open_index
from person_search.media.times import format_time
from tests.tiny_run import make_run

from .command import query_json, run


@pytest.fixture
def person(index_folder):
    """Somebody in picture 2."""
    with open_index(str(index_folder)) as index:
        return index.persons(index.frames()[2].frame_id)[0]


def box_text(person):
    """With all digits: the feature is that of this box."""
    return ",".join(map(repr, person.box))


def others(index, person, top):
    """The most similar to a person of the index, by the index's own ranking less that person."""
    hits = index.search(index.features([person.person_id]), top + 1)
    return [hit.person.person_id for hit in hits if hit.person.person_id != person.person_id][:top]


def test_a_box_finds_its_person_s_like_and_not_the_person_itself(index_folder, person, capsys):
    args = (person.frame.path, "--box", box_text(person), "--index", index_folder)
    with open_index(str(index_folder)) as index:
        expected = others(index, person, 3)
    found = query_json(capsys, *args, "--top", 3)
    assert found["index"] == str(index_folder)
    assert found["queries"] == [
        {"image": person.frame.path, "box": pytest.approx(person.box, abs=0.06)}
    ]
    assert found["left_out"] == [person.person_id]
    assert [hit["person"] for hit in found["hits"]] == expected
    assert [hit["rank"] for hit in found["hits"]] == [1, 2, 3]
    similarities = [hit["similarity"] for hit in found["hits"]]
    assert similarities == sorted(similarities, reverse=True)


def test_a_copy_of_the_picture_elsewhere_finds_the_person_itself(
    index_folder, person, capsys, tmp_path
):
    copy = shutil.copy(person.frame.path, tmp_path / "copy.png")
    args = (copy, "--box", box_text(person), "--index", index_folder)
    found = query_json(capsys, *args, "--top", 1)
    assert found["left_out"] == []
    best = found["hits"][0]
    assert best["person"] == person.person_id and best["similarity"] > 0.999
    assert (best["camera"], best["frame"]) == ("cam0", person.frame.path)
    assert best["box"] == pytest.approx(person.box, abs=0.06)
    assert best["score"] == pytest.approx(person.score, abs=1e-3)


def test_a_person_of_the_index_needs_no_model(index_folder, person, run_folder, capsys, tmp_path):
    with open_index(str(index_folder)) as index:
        expected = others(index, person, 5)
    for path in (tmp_path / "media").rglob("*.png"):
        path.unlink()
    found = query_json(capsys, "--person", person.person_id, "--index", index_folder, "--top", 5)
    assert [hit["person"] for hit in found["hits"]] == expected
    assert found["left_out"] == [person.person_id]


def run_with_threshold(run_folder, folder, threshold):
    """The same network, for which a detection needs another score."""
    shutil.copytree(run_folder, folder)
    config = (folder / "config.yaml").read_text()
    config = config.replace("    SCORE_THRESH: 0.5", f"    SCORE_THRESH: {threshold}")
    (folder / "config.yaml").write_text(config)
    return folder


def test_a_point_and_a_crop(index_folder, person, run_folder, capsys, tmp_path):
    model = run_with_threshold(run_folder, tmp_path / "eager", 0.01)
    x, y = (person.box[0] + person.box[2]) / 2, (person.box[1] + person.box[3]) / 2
    point = ("--point", f"{x},{y}", "--model", model, "--device", "cpu")
    found = query_json(capsys, person.frame.path, *point, "--index", index_folder)
    box = found["queries"][0]["box"]
    assert box[0] <= x <= box[2] and box[1] <= y <= box[3]
    # who is detected there is in the index, by the same network
    assert len(found["left_out"]) == 1
    with open_index(str(index_folder)) as index:
        own = index.person(found["left_out"][0])
    assert own.frame == person.frame and own.box == pytest.approx(box, abs=0.06)
    found = query_json(capsys, person.frame.path, "--index", index_folder)
    assert found["queries"][0]["box"] == [0, 0, 96, 64]


def test_several_pictures_are_merged(index_folder, capsys):
    with open_index(str(index_folder)) as index:
        one, two = (index.persons(f.frame_id)[0] for f in index.frames()[:2])
        expected = index.search(index.features([one.person_id, two.person_id]), 10)
        expected = [h for h in expected if h.person not in (one, two)][:8]
    boxes = ("--box", box_text(one), "--box", box_text(two))
    args = (one.frame.path, two.frame.path, *boxes, "--index", index_folder, "--top", 8)
    found = query_json(capsys, *args)
    similarities = [hit["similarity"] for hit in found["hits"]]
    assert similarities == pytest.approx([hit.similarity for hit in expected], abs=2e-3)
    merged = query_json(
        *(capsys, "--person", one.person_id, "--person", two.person_id),
        *("--index", index_folder, "--top", 8),
    )
    assert [h["person"] for h in merged["hits"]] == [h.person.person_id for h in expected]


def test_filters(index_folder, person, capsys):
    def hits(*args):
        return query_json(*(capsys, "--person", person.person_id, "--index", index_folder, *args))[
            "hits"
        ]

    everybody = hits()
    assert {hit["camera"] for hit in hits("--camera", "cam1")} == {"cam1"}
    assert len(hits("--camera", "cam0", "--camera", "cam1")) == len(everybody)
    frames = {hit["frame"][-5:] for hit in hits("--from", "101s", "--to", "102s")}
    assert frames == {"1.png", "2.png"}
    middle = np.median([hit["score"] for hit in everybody])
    some = hits("--min-score", middle)
    assert 0 < len(some) < len(everybody) and min(h["score"] for h in some) >= middle - 1e-4
    weighted = hits("--cws")
    products = sorted((h["similarity"] * h["score"] for h in everybody), reverse=True)
    assert [hit["similarity"] for hit in weighted] == pytest.approx(products, abs=2e-4)


def test_table_and_csv(index_folder, person, capsys):
    args = ("query", "--person", person.person_id, "--index", index_folder, "--top", 2)
    with open_index(str(index_folder)) as index:
        ids = others(index, person, 2)
        first = index.person(ids[0])
    capsys.readouterr()
    assert run(*args) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == "rank similarity person score camera time frame box".split()
    assert lines[2].split()[0::2][:2] == ["1", str(ids[0])] and len(lines) == 4
    assert run(*args, "--csv") == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [int(row["person"]) for row in rows] == ids
    assert [float(v) for v in rows[0]["box"].split(",")] == pytest.approx(first.box, abs=0.06)


def test_filters_that_let_nobody_pass(index_folder, person, capsys, caplog):
    args = ("query", "--person", person.person_id, "--index", index_folder, "--from", "2024")
    capsys.readouterr()
    for output, expected in (((), ""), (("--csv",), "rank,"), (("--json",), "{")):
        caplog.clear()
        assert run(*args, *output) == 0
        assert capsys.readouterr().out.startswith(expected)
        told = "No other person of the index passes the filters; its frames are from"
        assert f"{told} {format_time(100)}" in caplog.text


def test_pictures(index_folder, person, tmp_path, capsys):
    page, montage = tmp_path / "hits.html", tmp_path / "hits.png"
    args = ("query", "--person", person.person_id, "--index", index_folder, "--top", 12)
    assert run(*args, "--html", page, "--montage", montage) == 0
    height, width = cv2.imread(str(montage)).shape[:2]
    assert (width, height) == (10 * 128 + 9 * 6, 2 * (256 + CAPTION_HEIGHT))
    text = page.read_text()
    assert text.count("<img") == 1 + 2 * 12
    assert "no proof of" in text and not re.search(r"(src|href)=.(?!data:|#)", text)
    os.remove(person.frame.path)  # the query's own
    assert run(*args, "--html", page, "--montage", montage) == 0
    text = page.read_text()
    own = len([hit for hit in re.findall("not there any more", text)])
    assert own > 0 and text.count("<img") == 1 + 2 * 12 - own
    # what can't be written is one line, and what was there stays
    (tmp_path / "hits.html.part").mkdir()
    assert run(*args, "--html", page) == 2
    assert f"error: {page} can't be written: Is a directory; " in capsys.readouterr().err
    assert page.read_text() == text


def test_mistakes(index_folder, person, run_folder, tmp_path, capsys):
    def error(*args, index=index_folder):
        capsys.readouterr()
        assert run("query", *args, "--index", index) == 2
        out, message = capsys.readouterr()
        assert out == "" and message.startswith("error: ") and message.count("\n") == 1
        return message

    image, box = person.frame.path, ("--box", box_text(person))
    assert "nobody is asked for; name a picture, or a person" in error()
    assert "--box is given 1 times for 2 pictures; give one for each" in error(image, image, *box)
    os.mkfifo(tmp_path / "pipe.png")  # whoever opens it waits for ever
    assert "it is a pipe, a socket or a device" in error(tmp_path / "pipe.png")
    assert "box 0,0,500,5 is not in" in error(image, "--box", "0,0,500,5")
    assert "--box 1,2: write it as x0,y0,x1,y1" in error(image, "--box", "1,2")
    strict = run_with_threshold(run_folder, tmp_path / "strict", 0.99)
    point = (image, "--point", "5,5", "--model", strict)
    assert "no person is detected at 5,5" in error(*point)
    assert "point 500,5 is not in" in error(image, "--point", "500,5")
    assert "nowhere.jpg can't be read" in error("nowhere.jpg")
    assert "has no person 987654; `person-search query` prints" in error("--person", 987654)
    one = ("--person", person.person_id)
    assert "there is no index; make one with" in error(*one, index=tmp_path / "none")
    assert "has no such camera; it has cam0, cam1" in error(*one, "--camera", "x")
    assert "'noon' is no time" in error(*one, "--from", "noon")
    assert "--to 100s is before --from 2024" in error(*one, "--from", "2024-01-01", "--to", "100s")
    assert "there is no folder" in error(*one, "--html", tmp_path / "none" / "out.html")
    assert "allowed endings are .png, .jpg" in error(*one, "--montage", tmp_path / "out.pdf")


def test_another_model_is_refused(index_folder, person, tmp_path, capsys):
    other = make_run(tmp_path / "other", ("INPUT.MIN_SIZE_TEST", 48))
    args = ("query", person.frame.path, "--index", index_folder, "--model", other)
    assert run(*args) == 2
    assert "features of two models can't be compared: use that model" in capsys.readouterr().err


def test_a_model_that_has_moved(index_folder, person, run_folder, tmp_path, capsys):
    info = json.loads((index_folder / "index.json").read_text())
    info["model"] = "/gone/reid"
    (index_folder / "index.json").write_text(json.dumps(info))
    args = ("query", person.frame.path, "--index", index_folder)
    assert run(*args) == 2
    assert (
        "not at /gone/reid any more, or can't be reached there; say with --model"
        in capsys.readouterr().err
    )
    assert run(*args, "--model", run_folder) == 0

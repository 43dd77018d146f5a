"""The synthetic site: who is where, what the videos show, and that our own commands read it."""

import dataclasses
import json
import logging
import os
import re
from collections import defaultdict
from itertools import islice

import av
import numpy as np
import pytest

import make_synthetic_site as command
from fully_decoupled_ps.data.videos import read_frames
from fully_decoupled_ps.dataset_tools.synthetic import SiteSpec, make_synthetic_site, site_frames
from fully_decoupled_ps.dataset_tools.synthetic import site_writer as writer
from fully_decoupled_ps.dataset_tools.synthetic.camera import CAMERAS
from fully_decoupled_ps.dataset_tools.synthetic.identity import sample_identities
from fully_decoupled_ps.dataset_tools.synthetic.site import VideoPlan, make_site_plan
from fully_decoupled_ps.dataset_tools.synthetic.site_spec import START
from fully_decoupled_ps.dataset_tools.synthetic.walks import to_image
from fully_decoupled_ps.errors import UserError
from person_search.media.files import MediaFile, PathReader

from ..run_command import run_command

SPEC = SiteSpec(2, 2, 4, 4, 4, width=112, height=64, seed=3)


LARGER = SiteSpec(3, 6, 5, 12, 12)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return make_synthetic_site(tmp_path_factory.mktemp("site") / "a", SPEC)


@pytest.fixture(scope="module")
def plan():
    return make_site_plan(LARGER)


@pytest.fixture(scope="module")
def video():
    return make_site_plan(SPEC)[0]


def sequences(root):
    return sorted(path.parent.parent for path in root.glob("*/*/gt/gt.txt"))


def read_rows(folder):
    """Frame, id, x, y, w, h, flag, class, visibility."""
    return np.loadtxt(folder / "gt" / "gt.txt", delimiter=",", ndmin=2)


def read_video(folder):
    return [frame.image() for frame in read_frames(str(folder / f"{folder.name}.mp4"))]


def by_person(plan, split):
    passages = defaultdict(list)
    for video in plan:
        if video.split == split:
            for passage in video.passages:
                passages[passage.pid].append((passage.start, passage.end, video.camera))
    return passages


class TestPlan:
    def test_the_halves_have_different_people_as_many_as_asked(self, plan):
        train, test = by_person(plan, "train"), by_person(plan, "test")
        assert len(train) == len(test) == 12
        assert not set(train) & set(test)
        looks = {passage.person for video in plan for passage in video.passages}
        assert len(looks) == 24

    def test_they_are_others_than_the_benchmarks(self, plan):
        looks = {passage.person.key for video in plan for passage in video.passages}
        assert not looks & {person.key for person in sample_identities(540, seed=0)}

    @pytest.mark.parametrize("split", ["train", "test"])
    def test_everybody_passes_two_or_three_cameras_one_after_the_other(self, plan, split):
        for passages in by_person(plan, split).values():
            assert len({camera for *_, camera in passages}) in (2, 3)
            assert 4 <= len(passages) <= 7
            passages = sorted(passages)
            for (_, end, one), (start, _, other) in zip(passages, passages[1:]):
                assert start - end >= (2 if one == other else 4) * 5

    def test_a_view_is_never_crowded_and_mostly_has_somebody(self, plan):
        for video in plan:
            there = np.zeros(LARGER.frames, int)
            for passage in video.passages:
                assert 0 <= passage.start and passage.end <= len(there)
                there[passage.start : passage.end] += 1
            assert there.max() <= 8
            assert (there > 0).mean() > 0.5

    def test_people_pass_near_one_another_and_not_through_one_another(self, plan):
        nearest = []
        for video in plan:
            for i, one in enumerate(video.passages):
                for other in video.passages[:i]:
                    first, last = max(one.start, other.start), min(one.end, other.end)
                    if first < last:
                        a, b = (
                            p.walk.ground[first - p.start : last - p.start] for p in (one, other)
                        )
                        nearest.append(np.hypot(*(a - b).T).min())
        assert min(nearest) >= 0.4
        assert np.mean(np.array(nearest) < 1.0) > 0.1

    def test_nobody_walks_through_a_thing(self, plan):
        for video in plan:
            for thing in video.clutter:
                for passage in video.passages:
                    feet, scale = to_image(CAMERAS[video.camera], passage.walk.ground, 16 / 9)
                    apart = np.abs(feet - thing.foot) / scale[:, None]
                    assert ((apart > (0.2, 0.02)).any(axis=1)).all()


class TestFrames:
    """On an empty magenta scene, without exposure, what is not magenta is a person."""

    MAGENTA = np.full((64, 112, 3), (255, 0, 255), np.uint8)

    @pytest.fixture(autouse=True)
    def plain(self, monkeypatch):
        monkeypatch.setattr(site_frames, "background", lambda *args: self.MAGENTA)
        monkeypatch.setattr(site_frames, "expose", lambda scene, camera, rng: scene)
        monkeypatch.setattr(site_frames, "draw_shadow", lambda *args: None)

    def test_the_box_is_the_extent_of_the_person(self, video):
        alone = dataclasses.replace(video, passages=video.passages[:1], clutter=())
        boxes = 0
        for image, rows in site_frames.draw_frames(alone, SPEC):
            y, x = np.nonzero((image != self.MAGENTA).any(axis=2))
            if not len(rows):
                assert len(x) < 200  # a part of somebody at the edge
                continue
            pid, left, top, width, height, visibility = rows[0]
            extent = (x.min(), y.min(), x.max() + 1, y.max() + 1)
            assert extent == pytest.approx((left, top, left + width, top + height), abs=1)
            assert rows.shape == (1, 6) and pid == video.passages[0].pid and visibility == 1
            boxes += 1
        assert boxes > 10

    def test_visibility_is_the_share_that_nobody_nearer_hides(self, video):
        """The same figure stands 10 cm nearer, to the right by half of its width."""
        behind = video.passages[0]
        ground = behind.walk.ground
        share = []
        for x in (0.0, 0.15, 3.0):
            walk = dataclasses.replace(behind.walk, ground=ground * 0.98 + (x, 0.0))
            ahead = dataclasses.replace(behind, pid=behind.pid + 1, walk=walk)
            both = dataclasses.replace(video, passages=(behind, ahead), clutter=())
            rows = [rows for _, rows in site_frames.draw_frames(both, SPEC) if len(rows) == 2]
            seen = np.array(rows)[..., 5]
            assert (seen[:, 1] == 1).all()
            share.append(seen[:, 0].mean())
        hidden, half, free = share
        assert hidden < 0.15 and 0.2 < half < 0.8 and free > 0.9

    def test_things_hide_people_as_well(self, video):
        """Each row's share of pixels is that of a drawing without and with the things."""
        bare = dataclasses.replace(video, clutter=())
        pairs = zip(site_frames.draw_frames(bare, SPEC), site_frames.draw_frames(video, SPEC))
        lower = 0
        for (_, free), (_, rows) in pairs:
            assert np.array_equal(free[:, :5], rows[:, :5])
            assert (rows[:, 5] <= free[:, 5]).all()
            lower += (rows[:, 5] < free[:, 5] - 0.2).sum()
        assert lower > 10


def test_light_drifts_slowly():
    """The mean of an empty view: hardly from frame to frame, clearly within two minutes."""
    spec = dataclasses.replace(SPEC, minutes=4, fps=2)
    video = VideoPlan("train", 0, (), ())
    levels = np.array([image.mean() for image, _ in site_frames.draw_frames(video, spec)])
    assert np.abs(np.diff(levels)).max() < 2.5
    assert np.ptp(levels) > 5


class TestVideos:
    def test_a_folder_for_each_camera_and_split(self, root):
        names = [str(folder.relative_to(root)) for folder in sequences(root)]
        assert names == ["test/plaza", "test/street", "train/plaza", "train/street"]
        assert not list(root.rglob("*.part"))
        assert json.loads((root / "site.json").read_text())["finished"]

    def test_a_video_shows_the_frames_of_the_plan(self, root, video):
        shown = read_video(root / "train" / "plaza")
        assert len(shown) == SPEC.frames == 240
        drawn = [image for image, _ in islice(site_frames.draw_frames(video, SPEC), 60)]
        differences = [np.abs(a - b[..., ::-1].astype(float)).mean() for a, b in zip(shown, drawn)]
        assert max(differences) < 6

    def test_it_lasts_as_long_as_it_should(self, root):
        with av.open(str(root / "test" / "street" / "street.mp4")) as container:
            stream = container.streams.video[0]
            assert float(stream.duration * stream.time_base) == pytest.approx(60, abs=0.3)

    def test_ids_are_of_one_split_and_two_cameras(self, root):
        ids = {folder: set(read_rows(folder)[:, 1]) for folder in sequences(root)}
        test_plaza, test_street, train_plaza, train_street = ids.values()
        assert train_plaza == train_street and len(train_plaza) == 4
        assert test_plaza == test_street and len(test_plaza) == 4
        assert not train_plaza & test_plaza

    def test_boxes_are_in_the_frame_and_move_on_continuously(self, root):
        followed = 0
        for folder in sequences(root):
            rows = read_rows(folder)
            assert (rows[:, 2:4] >= 0).all() and (rows[:, 4:6] >= 1).all()
            assert (rows[:, 2:4] + rows[:, 4:6] <= (112, 64)).all()
            for pid in set(rows[:, 1]):
                own = rows[rows[:, 1] == pid]
                for a, b in zip(own, own[1:]):
                    if b[0] == a[0] + 1:
                        least = np.maximum(a[2:4], b[2:4])
                        most = np.minimum(a[2:4] + a[4:6], b[2:4] + b[4:6])
                        assert (most > least).all()
                        followed += 1
        assert followed > 500

    def test_the_cameras_share_a_clock_that_the_index_reads(self, root):
        """Whenever the files were changed, as by a copy."""
        for folder in sequences(root):
            path = folder / f"{folder.name}.mp4"
            reader = PathReader()
            file = MediaFile(str(path), True, path.stat().st_size, os.stat(path).st_mtime_ns)
            late = 60 if folder.parent.name == "test" else 0
            assert reader.time(file) == START.timestamp() + late
            assert reader.camera(file) == folder.name

    def test_convert_reads_the_ground_truth(self, root, tmp_path, capsys):
        """Every row of the file is an annotation, with one id in both cameras."""
        output = tmp_path / "json"
        options = ["--ids", "shared", "--split", "none", "--min-visibility", 0, "--min-height", 0]
        assert run_command("convert", "mot", root / "test", "--output", output, *options) == 0
        assert "WARNING" not in capsys.readouterr().out
        (path,) = output.glob("*.json")
        content = json.loads(path.read_text())
        names = {image["id"]: image["file_name"] for image in content["images"]}
        made = {
            (*re.findall(r"(\w+)/0*(\d+)\.jpg", names[a["image_id"]])[0], a["person_id"]): a["bbox"]
            for a in content["annotations"]
        }
        expected = {
            (folder.name, f"{row[0]:.0f}", int(row[1])): row[2:6].tolist()
            for folder in sequences(root)
            if folder.parent.name == "test"
            for row in read_rows(folder)
        }
        assert made == expected


class TestRuns:
    def test_an_interrupted_run_is_completed_to_the_same_site(self, root, tmp_path, monkeypatch):
        whole, drawn = writer._write_video, []

        def stop_in_the_second(path, plan, spec):
            if drawn:
                path.with_name(path.name + ".part").write_bytes(b"half a video")
                raise KeyboardInterrupt
            drawn.append(path)
            return whole(path, plan, spec)

        monkeypatch.setattr(writer, "_write_video", stop_in_the_second)
        with pytest.raises(KeyboardInterrupt):
            make_synthetic_site(tmp_path / "b", SPEC)
        first = drawn[0].stat().st_mtime_ns
        monkeypatch.undo()
        again = make_synthetic_site(tmp_path / "b", SPEC, workers=2)
        assert drawn[0].stat().st_mtime_ns == first
        files = {path.relative_to(root) for path in root.rglob("*") if path.is_file()}
        assert files == {path.relative_to(again) for path in again.rglob("*") if path.is_file()}
        for name in files:
            if name.suffix == ".mp4":  # whose later frames are rounded as the encoder likes
                one, other = (read_video((folder / name).parent) for folder in (root, again))
                assert len(one) == len(other)
                assert np.abs(np.array(one[0], float) - np.array(other[0])).mean() < 0.5
            else:
                assert (again / name).read_bytes() == (root / name).read_bytes()

    def test_a_finished_site_is_left_alone_and_another_refused(self, root, monkeypatch):
        monkeypatch.setattr(writer, "make_site_plan", lambda spec: pytest.fail("planned again"))
        assert make_synthetic_site(root, SPEC) == root
        with pytest.raises(UserError, match=r"fps 4, not 6; seed 3, not 4"):
            make_synthetic_site(root, dataclasses.replace(SPEC, fps=6, seed=4))

    def test_something_else_in_the_folder(self, tmp_path):
        (tmp_path / "holiday.jpg").touch()
        with pytest.raises(UserError, match="no readable site.json"):
            make_synthetic_site(tmp_path, SPEC)

    def test_too_little_time_for_the_people(self, tmp_path):
        with pytest.raises(UserError, match="minutes is 1, too few for 6 train ids"):
            make_synthetic_site(tmp_path / "b", dataclasses.replace(SPEC, minutes=1, train_ids=6))
        assert not (tmp_path / "b").exists()

    @pytest.mark.parametrize(
        "field, value",
        [("cameras", 1), ("cameras", 7), ("minutes", 0), ("fps", 31), ("width", 129), ("seed", -1)],
    )
    def test_a_size_that_makes_no_sense(self, field, value):
        with pytest.raises(UserError, match=str(value)):
            dataclasses.replace(SPEC, **{field: value})

    def test_the_command_finds_the_site_and_names_what_reads_it(self, root, capsys, caplog):
        caplog.set_level(logging.INFO)
        options = (
            "--cameras 2 --minutes 2 --train-ids 4 --test-ids 4 --fps 4 --width 112 --height 64"
        )
        arguments = ["--output", str(root), *options.split(), "--seed"]
        assert command.main([*arguments, "3"]) == 0
        last = caplog.messages[-1]
        assert "creation time" in last and f"convert mot {root / 'train'} --ids shared" in last
        assert command.main([*arguments, "5"]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and "seed 3, not 5" in error

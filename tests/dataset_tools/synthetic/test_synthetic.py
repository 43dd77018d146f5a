"""The synthetic benchmark: PRW's layout, the promises of its docstrings, the same bytes again."""

import dataclasses
import re
from collections import defaultdict

import cv2
import numpy as np
import pytest
from scipy.io import loadmat

import make_synthetic_dataset as command
from fully_decoupled_ps.data import load_prw, load_prw_protocols
from fully_decoupled_ps.dataset_tools.synthetic import (
    PRESETS,
    SyntheticSpec,
    make_synthetic_dataset,
    writer,
)
from fully_decoupled_ps.dataset_tools.synthetic.camera import CAMERAS, expose
from fully_decoupled_ps.dataset_tools.synthetic.figure import Pose, draw_figure
from fully_decoupled_ps.dataset_tools.synthetic.identity import sample_identities
from fully_decoupled_ps.dataset_tools.synthetic.placement import MIN_VISIBLE
from fully_decoupled_ps.dataset_tools.synthetic.plan import make_plan
from fully_decoupled_ps.errors import UserError

SPEC = SyntheticSpec(18, 18, 5, 4, width=160, height=96, max_queries=None, seed=3)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return make_synthetic_dataset(tmp_path_factory.mktemp("synthetic") / "a", SPEC)


@pytest.fixture(scope="module")
def plan():
    return make_plan(dataclasses.replace(PRESETS["demo"], train_frames=300, train_ids=60))


def read_files(root):
    return {p.relative_to(root): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def read_index(root, split):
    """The frames' names, taken out of the cell array as PRW's users do."""
    return [row[0][0] for row in loadmat(root / f"frame_{split}.mat")[f"img_index_{split}"]]


def read_rows(root, name):
    return loadmat(root / "annotations" / f"{name}.jpg.mat")["box_new"]


def read_queries(root):
    for line in (root / "query_info.txt").read_text().splitlines():
        pid, *box, name = line.split()
        yield int(pid), [float(value) for value in box], name


class TestLayout:
    def test_frames_and_annotations_belong_together(self, root):
        frames = sorted(p.stem for p in (root / "frames").iterdir())
        assert frames == sorted(read_index(root, "train") + read_index(root, "test"))
        assert sorted(p.name for p in (root / "annotations").iterdir()) == [
            f"{name}.jpg.mat" for name in frames
        ]
        assert all(re.fullmatch(r"c[1-6]s[1-3]_\d{6}", name) for name in frames)
        assert not list(root.rglob("*.part"))

    @pytest.mark.parametrize("split, number", [("train", 18), ("test", 18)])
    def test_numbers_of_frames_and_sizes_are_as_asked(self, root, split, number):
        names = read_index(root, split)
        assert len(names) == number
        assert {name[1] for name in names} == set("123456")
        for name in names:
            assert cv2.imread(str(root / "frames" / f"{name}.jpg")).shape == (96, 160, 3)

    def test_id_lists_are_those_of_the_annotations(self, root):
        listed = {
            "train": loadmat(root / "ID_train.mat")["ID_train"],
            "test": loadmat(root / "ID_test.mat")["ID_test2"],
        }
        for split, number in (("train", 5), ("test", 4)):
            rows = np.concatenate([read_rows(root, name) for name in read_index(root, split)])
            assert listed[split].shape == (1, number)
            assert sorted(set(rows[:, 0]) - {-2}) == list(listed[split][0])
        assert not set(listed["train"][0]) & set(listed["test"][0])

    def test_a_query_is_an_annotation_and_is_there_in_another_camera(self, root):
        queries = list(read_queries(root))
        seen = defaultdict(set)
        for name in read_index(root, "test"):
            for pid in read_rows(root, name)[:, 0]:
                seen[pid].add(name)
        assert {(pid, name[:2]) for pid, _, name in queries} == {
            (pid, name[:2]) for pid, names in seen.items() if pid > 0 for name in names
        }
        for pid, box, name in queries:
            rows = read_rows(root, name)
            assert box == rows[rows[:, 0] == pid][0, 1:].tolist()
            assert {other[:2] for other in seen[pid]} - {name[:2]}

    def test_the_prw_loader_reads_it(self, root):
        train, test = load_prw(str(root), "train"), load_prw(str(root), "test")
        assert len(train) == len(test) == 18
        annotations = [a for d in train for a in d["annotations"]]
        assert {a["person_id"] for a in annotations} == {-1, 0, 1, 2, 3, 4}
        protocols = load_prw_protocols(str(root))
        assert len(protocols["full"]) == len(list(read_queries(root)))
        assert {d["camera_id"] for d in test} == {1, 2, 3, 4, 5, 6}


class TestBytes:
    def test_a_seed_fixes_them_whatever_the_number_of_processes(self, root, tmp_path):
        again = make_synthetic_dataset(tmp_path / "b", SPEC, workers=2)
        assert read_files(again) == read_files(root)

    def test_another_seed_changes_every_frame(self, root, tmp_path):
        other = make_synthetic_dataset(tmp_path / "b", dataclasses.replace(SPEC, seed=4))
        frames = {p.read_bytes() for p in (root / "frames").iterdir()}
        assert not frames & {p.read_bytes() for p in (other / "frames").iterdir()}

    def test_an_interrupted_run_is_completed(self, root, tmp_path, monkeypatch):
        whole = writer._write_frame
        drawn = []

        def stop_after_seven(root, spec, plan):
            if len(drawn) == 7:
                raise KeyboardInterrupt
            drawn.append(plan.name)
            whole(root, spec, plan)

        monkeypatch.setattr(writer, "_write_frame", stop_after_seven)
        with pytest.raises(KeyboardInterrupt):
            make_synthetic_dataset(tmp_path / "b", SPEC)
        monkeypatch.setattr(
            writer, "_write_frame", lambda r, s, p: (drawn.append(p.name), whole(r, s, p))
        )
        assert read_files(make_synthetic_dataset(tmp_path / "b", SPEC)) == read_files(root)
        assert len(drawn) == len(set(drawn)) == 36

    def test_a_finished_dataset_is_left_alone(self, root, monkeypatch):
        monkeypatch.setattr(writer, "make_plan", lambda spec: pytest.fail("planned again"))
        assert make_synthetic_dataset(root, SPEC) == root


class TestErrors:
    def test_another_dataset_in_the_folder(self, root):
        with pytest.raises(UserError, match=r"train_ids 5, not 6; seed 3, not 4"):
            make_synthetic_dataset(root, dataclasses.replace(SPEC, seed=4, train_ids=6))

    @pytest.mark.parametrize("manifest", [None, "{", "[]", '{"finished": true}'])
    def test_something_else_in_the_folder(self, tmp_path, manifest):
        (tmp_path / "holiday.jpg").touch()
        if manifest:
            (tmp_path / "synthetic.json").write_text(manifest)
        with pytest.raises(UserError, match="no readable synthetic.json"):
            make_synthetic_dataset(tmp_path, SPEC)
        assert (tmp_path / "holiday.jpg").exists()

    def test_too_few_frames_for_the_ids(self, tmp_path):
        with pytest.raises(UserError, match="test_frames is 18, too few for 60 test ids: .* 3 cam"):
            make_synthetic_dataset(tmp_path / "b", dataclasses.replace(SPEC, test_ids=60))
        assert not (tmp_path / "b").exists()

    @pytest.mark.parametrize(
        "field, value",
        [("train_frames", 5), ("test_ids", 1), ("seed", -1), ("height", 63), ("max_queries", 0)],
    )
    def test_a_size_that_makes_no_sense(self, field, value):
        with pytest.raises(UserError, match=str(value)):
            dataclasses.replace(SPEC, **{field: value})


class TestPlan:
    def test_every_person_is_seen_by_three_cameras(self, plan):
        for split, frames in plan.frames.items():
            seen = defaultdict(set)
            for frame in frames:
                for figure in frame.figures:
                    seen[figure.pid].add(frame.camera)
            assert min(len(seen[pid]) for pid in plan.ids[split]) >= 3

    def test_a_frame_holds_one_to_ten_persons_each_once(self, plan):
        for frame in plan.frames["train"] + plan.frames["test"]:
            people = [figure.person for figure in frame.figures]
            assert 1 <= len(people) <= 10
            assert len(set(people)) == len(people)

    def test_all_numbers_of_persons_and_unlabelled_ones_occur(self, plan):
        frames = plan.frames["train"] + plan.frames["test"]
        assert {len(frame.figures) for frame in frames} == set(range(1, 11))
        unlabelled = np.mean([figure.pid == -2 for frame in frames for figure in frame.figures])
        assert 0.1 < unlabelled < 0.3

    def test_everybody_is_half_visible(self, plan):
        """Painted on a grid from far to near, each nominal box keeps half of its cells."""
        cells = 200
        for frame in plan.frames["test"][:60]:
            things = sorted(frame.figures + frame.clutter, key=lambda thing: thing.foot[1])
            grid = np.full((cells, round(cells * 480 / 270)), -1)
            for number, thing in enumerate(things):
                x0, y0, x1, y1 = (max(round(value * cells), 0) for value in thing.box)
                grid[y0:y1, x0:x1] = number
            for number, thing in enumerate(things):
                if thing in frame.figures:
                    x0, y0, x1, y1 = (value * cells for value in thing.box)
                    share = (grid == number).sum() / ((x1 - x0) * (y1 - y0))
                    assert share > MIN_VISIBLE - 0.05

    def test_some_are_cut_by_the_border_and_some_hidden(self, plan):
        figures = [f for frame in plan.frames["test"] for f in frame.figures]
        cut = np.mean([not figure.is_whole(480 / 270) for figure in figures])
        assert 0.1 < cut < 0.7

    def test_queries_are_capped_and_come_from_their_person_and_frame(self, plan):
        assert len(plan.queries) == len(set(plan.queries)) == PRESETS["demo"].max_queries
        people = {f.name: {figure.pid for figure in f.figures} for f in plan.frames["test"]}
        assert all(pid in people[name] for pid, name in plan.queries)

    def test_the_large_preset_has_the_size_of_prw(self):
        spec = PRESETS["prw"]
        assert (spec.train_frames, spec.test_frames, spec.train_ids) == (5704, 6112, 483)
        assert (spec.max_queries, spec.width, spec.height) == (2057, 1920, 1080)


class TestIdentities:
    def test_no_two_are_alike(self):
        traits = [person.traits() for person in sample_identities(80, seed=0)]
        for i, one in enumerate(traits):
            for other in traits[:i]:
                assert sum(a != b for a, b in zip(one, other)) >= 5

    def test_more_persons_leave_the_first_ones_as_they_are(self):
        assert sample_identities(20, seed=1) == sample_identities(40, seed=1)[:20]

    def test_it_ends_when_no_more_differ_that_much(self):
        assert len(set(sample_identities(30, seed=0, min_distance=12))) == 30


class TestDrawing:
    STANDING = Pose(yaw=0.0, phase=0.0, stride=0.0, arms="swing", lean=0.0)

    def figures(self, number=12, **changes):
        pose = dataclasses.replace(self.STANDING, **changes)
        return [
            (person, draw_figure(person, pose, px_per_metre=100))
            for person in sample_identities(number, seed=0)
        ]

    def test_the_height_is_the_stature(self):
        for person, figure in self.figures():
            if person.hat == "none" and person.hair_style in ("short", "bald"):
                feet_to_crown = figure.foot[1] - np.flatnonzero(figure.alpha.any(axis=1))[0]
                assert feet_to_crown == pytest.approx(100 * person.stature, abs=5)

    def test_nothing_is_drawn_outside_the_opacity(self):
        for _, figure in self.figures(yaw=2.0, stride=0.5):
            assert figure.image[figure.alpha == 0].max() == 0
            assert (figure.image.max(axis=2) <= figure.alpha + 1.0).all()

    def test_front_and_back_differ(self):
        fronts, backs = self.figures(), self.figures(yaw=np.pi)
        assert all(
            front.image.shape != back.image.shape or (front.image != back.image).any()
            for (_, front), (_, back) in zip(fronts, backs)
        )

    @pytest.mark.parametrize("index", range(6))
    def test_the_box_is_the_figures_extent(self, index, plan, monkeypatch):
        """On an empty magenta scene, the pixels that are not magenta are those of the box."""
        magenta = np.full((270, 480, 3), (255, 0, 255), np.uint8)
        monkeypatch.setattr(writer, "background", lambda *args: magenta)
        monkeypatch.setattr(writer, "expose", lambda scene, camera, rng: scene)
        monkeypatch.setattr(writer, "draw_shadow", lambda *args: None)
        frame = plan.frames["test"][index]
        for figure in frame.figures:
            alone = dataclasses.replace(frame, figures=(figure,), clutter=())
            image, rows = writer.render_frame(alone, PRESETS["demo"])
            y, x = np.nonzero((image != magenta).any(axis=2))
            x0, y0, w, h = rows[0, 1:]
            assert rows.shape == (1, 5) and rows[0, 0] == figure.pid
            extent = (x.min(), y.min(), x.max() + 1, y.max() + 1)
            assert extent == pytest.approx((x0, y0, x0 + w, y0 + h), abs=1)

    def test_a_frame_without_persons_has_no_rows(self, plan):
        empty = dataclasses.replace(plan.frames["test"][0], figures=())
        assert writer.render_frame(empty, PRESETS["demo"])[1].shape == (0, 5)

    def test_no_box_leaves_the_frame(self, root):
        for name in read_index(root, "train") + read_index(root, "test"):
            rows = read_rows(root, name)
            assert (rows[:, 1:3] >= 0).all() and (rows[:, 3:] >= 1).all()
            assert (rows[:, 1] + rows[:, 3] <= 160).all() and (rows[:, 2] + rows[:, 4] <= 96).all()

    def test_any_two_cameras_give_one_colour_different_looks(self):
        scene = np.full((90, 160, 3), (60, 90, 180), np.uint8)
        looks = [
            expose(scene, camera, np.random.default_rng(0)).mean(axis=(0, 1)) for camera in CAMERAS
        ]
        for i, one in enumerate(looks):
            for other in looks[:i]:
                assert np.abs(one - other).max() > 20


class TestCommand:
    def test_it_writes_reuses_and_refuses_in_one_line(self, tmp_path, capsys):
        main = command.main
        sizes = "--frame-size 160x96 --train-frames 12 --test-frames 12 --train-ids 2 --test-ids 2"
        arguments = ["--output", str(tmp_path / "a"), *sizes.split(), "--workers", "1"]
        assert main(arguments) == 0
        assert len(read_index(tmp_path / "a", "train")) == 12
        before = read_files(tmp_path / "a")
        assert main(arguments) == 0
        assert read_files(tmp_path / "a") == before
        assert capsys.readouterr().err == ""
        assert main([*arguments, "--seed", "1"]) == 2
        assert capsys.readouterr().err.strip().count("\n") == 0

    @pytest.mark.parametrize("size", ["480", "480x", "axb", "480x270x3"])
    def test_a_malformed_size_is_named(self, size, capsys):
        with pytest.raises(SystemExit):
            command.main(["--output", "x", "--frame-size", size])
        assert f"'{size}' is no size" in capsys.readouterr().err

"""What every index does, wherever it keeps its data."""

from dataclasses import replace

import numpy as np
import pytest

from person_search.errors import UserError
from person_search.index import Counts, Filters, Frame, merge_features, open_index

from .made_up_index import INFO, add_picture, all_persons, files_holding, fill, frame, source, unit


def plain_ranking(index, feature, keep=lambda person: True, cws=False):
    """Ids and similarities of everybody, by the definition."""
    persons = [p for p in all_persons(index) if keep(p)]
    rows = index.features([p.person_id for p in persons])
    values = rows @ feature
    if cws:
        values = values * [p.score for p in persons]
    order = np.argsort(-values)
    return [persons[i].person_id for i in order], values[order]


def test_what_was_added_is_there(index):
    fill(index)
    assert index.counts() == Counts(files=5, frames=7, persons=14)
    assert index.cameras() == ["c0", "c1", "video"]
    assert index.time_range() == (100.0, 202.0)
    frames = index.frames(limit=100)
    assert [(f.path, f.pts, f.camera, f.time) for f in frames[3:5]] == [
        ("/data/3.jpg", None, "c1", 103.0),
        ("/data/v.mp4", 0, "video", 200.0),
    ]
    assert frames[4].name == "/data/v.mp4#0" and (frames[0].width, frames[0].height) == (200, 100)
    persons, added = index.persons(frames[5].frame_id), frame("/data/v.mp4", 10)
    assert [p.frame for p in persons] == [frames[5]] * 2
    np.testing.assert_allclose([p.box for p in persons], added.boxes, rtol=1e-6)
    np.testing.assert_allclose([p.score for p in persons], added.scores, rtol=1e-6)
    features = index.features([p.person_id for p in persons][::-1])
    np.testing.assert_allclose(features, added.features[::-1], atol=1e-3)


def test_it_is_still_there_when_opened_again(location):
    with open_index(location, create=INFO) as index:
        fill(index)
    with open_index(location) as index:
        assert index.info == INFO
        assert index.counts().persons == 14
        assert index.search(frame("/data/2.jpg").features[0], 1)[0].similarity > 0.999


def test_an_empty_index(index):
    assert index.counts() == Counts(0, 0, 0)
    assert index.cameras() == [] and index.time_range() is None and index.frames() == []
    assert index.search(unit(1)[0]) == []


def test_frames_are_listed_in_parts(index):
    fill(index)
    everything = index.frames(limit=100)
    assert index.frames(offset=2, limit=3) == everything[2:5]
    some = Filters(cameras=("c1", "video"), start=103.0, end=201.0)
    assert [f.time for f in index.frames(some)] == [103.0, 200.0, 201.0]
    assert index.count_frames(some) == 3
    assert index.find_frames("/data/v.mp4", 20) == everything[6:]
    assert len(index.find_frames("/data/v.mp4")) == 3 and index.find_frames("/data/x.jpg") == []


@pytest.mark.parametrize("cws", [False, True])
@pytest.mark.parametrize(
    "filters",
    [
        Filters(),
        Filters(cameras=("c0", "c1")),
        Filters(start=102.0),
        Filters(end=102.0, min_score=0.6),
        Filters(cameras=("nowhere",)),
    ],
)
def test_search_is_the_plain_ranking(index, filters, cws):
    fill(index)
    feature = unit(1, seed=9)[0]

    def passes(person):
        return (
            (not filters.cameras or person.frame.camera in filters.cameras)
            and (filters.start is None or person.frame.time >= filters.start)
            and (filters.end is None or person.frame.time <= filters.end)
            and person.score >= filters.min_score
        )

    ids, similarities = plain_ranking(index, feature, passes, cws)
    hits = index.search(feature, 5, filters, cws=cws)
    assert [hit.person.person_id for hit in hits] == ids[:5]
    np.testing.assert_allclose([h.similarity for h in hits], similarities[:5], atol=1e-5)
    assert [hit.rank for hit in hits] == list(range(1, len(hits) + 1))
    assert len(index.search(feature, 50, filters, cws=cws)) == len(ids)


def test_cws_looks_beyond_its_first_candidates(index, monkeypatch):
    """Twelve are more similar than the one whose similarity times score is the highest."""
    monkeypatch.setattr("person_search.index.base.CWS_CANDIDATES", 1)
    similarities = np.append(np.linspace(0.9, 0.7, 12), 0.5).astype(np.float32)
    features = np.zeros((13, INFO.dim), dtype=np.float32)
    features[:, 0], features[:, 1] = similarities, np.sqrt(1 - similarities**2)
    scores = np.append(np.full(12, 0.3), 0.9).astype(np.float32)
    made_up = replace(frame("a", persons=13), scores=scores, features=features)
    with index.writer() as writer:
        writer.begin(source("a"))
        writer.add("a", made_up)
        writer.finish("a")
        writer.commit()
    index.refresh()
    hits = index.search(np.eye(INFO.dim, dtype=np.float32)[0], 2, cws=True)
    assert [hit.similarity for hit in hits] == pytest.approx([0.45, 0.27], abs=1e-3)


def test_queries_are_merged_by_their_mean(index):
    fill(index)
    features = unit(3, seed=5)
    mean = features.mean(axis=0) / np.linalg.norm(features.mean(axis=0))
    np.testing.assert_allclose(merge_features(features), mean, rtol=1e-5)
    assert index.search(features, 4) == index.search(mean, 4)


def test_what_is_not_committed_is_dropped(index):
    fill(index)
    with index.writer() as writer:
        add_picture(writer, "/data/new.jpg")
    index.refresh()
    assert index.counts().persons == 14
    with index.writer() as writer:
        assert "/data/new.jpg" not in writer.states()
        add_picture(writer, "/data/new.jpg")
        writer.commit()
    index.refresh()
    assert index.counts().persons == 16
    assert index.search(frame("/data/new.jpg").features[1], 1)[0].similarity > 0.999


def test_a_changed_file_replaces_its_persons(index):
    fill(index)
    path = "/data/1.jpg"
    with index.writer() as writer:
        writer.begin(source(path, size=99))
        writer.add(path, frame(path, persons=3, seed=1))
        writer.finish(path)
        writer.commit()
    index.refresh()
    assert index.counts() == Counts(5, 7, 15)
    assert index.search(frame(path).features[0], 1)[0].similarity < 0.99
    new = frame(path, persons=3, seed=1).features
    assert [index.search(f, 1)[0].similarity > 0.999 for f in new] == [True] * 3


def test_an_interrupted_file_goes_on_where_it_stopped(index):
    path = "/data/v.mp4"
    with index.writer() as writer:
        writer.begin(source(path))
        writer.add(path, frame(path, -512, checksum=2**32 - 1))
        writer.add(path, frame(path, 2**33, offset=1.0))
        writer.commit()
    with index.writer() as writer:
        state = writer.states()[path]
        assert (state.source, state.is_done) == (source(path), False)
        assert writer.checksums(path) == {-512: 2**32 - 1, 2**33: None}
        writer.begin(source(path, camera="c2", start=300.0), goes_on=True)
        writer.add(path, frame(path, 2**33 + 1, offset=2.0))
        writer.finish(path)
        writer.commit()
        assert writer.states()[path].is_done
    index.refresh()
    frames = index.frames()
    assert [f.pts for f in frames] == [-512, 2**33, 2**33 + 1]
    assert [(f.camera, f.time, f.offset) for f in frames] == [
        *[("c2", 300.0, 0.0), ("c2", 301.0, 1.0), ("c2", 302.0, 2.0)]
    ]
    assert [f.checksum for f in frames] == [2**32 - 1, None, None]
    persons = [p for f in frames for p in index.persons(f.frame_id)]
    assert len(persons) == 6 and {p.frame.camera for p in persons} == {"c2"}
    assert index.find_frames(path, -512) == frames[:1]
    assert frames[0].name == "/data/v.mp4#-512"


def test_a_file_that_is_begun_anew_loses_its_frames(index):
    path = "/data/v.mp4"
    for pts in (0, 7):
        with index.writer() as writer:
            writer.begin(source(path))
            writer.add(path, frame(path, pts))
            writer.commit()
    index.refresh()
    assert [f.pts for f in index.frames()] == [7]
    assert index.counts() == Counts(1, 1, 2)


def test_no_pts_is_that_of_a_picture(index):
    """The smallest one that FFmpeg has, and -1."""
    with index.writer() as writer:
        for pts in (None, 1 - 2**63, -1, 0, 2**63 - 1):
            path = f"/data/{pts}"
            writer.begin(source(path))
            writer.add(path, frame(path, pts))
            writer.finish(path)
        writer.commit()
    index.refresh()
    found = {f.path: f.pts for f in index.frames()}
    assert found == {f"/data/{pts}": pts for pts in (None, 1 - 2**63, -1, 0, 2**63 - 1)}


@pytest.mark.parametrize(
    ("offset", "clock"), [(0, "0:00:00.0"), (59.97, "0:01:00.0"), (90061.25, "25:01:01.2")]
)
def test_a_frame_of_a_video_is_named_with_the_time_into_it(offset, clock):
    shown = Frame(1, "/data/v.mp4", -5, "c1", 0.0, 10, 10, offset=offset)
    assert shown.title == f"v.mp4#-5 ({clock})"
    assert Frame(1, "/data/a#5.jpg", None, "c1", 0.0, 10, 10).title == "a#5.jpg"


def test_an_interrupted_picture_is_not_there_twice(index):
    for _ in range(2):
        with index.writer() as writer:
            writer.begin(source("/data/0.jpg"))
            writer.add("/data/0.jpg", frame("/data/0.jpg"))
            writer.commit()
    index.refresh()
    assert index.counts() == Counts(1, 1, 2)


def test_another_camera_and_time_keep_the_persons(index):
    fill(index)
    before = all_persons(index)
    with index.writer() as writer:
        writer.update(replace(writer.states()["/data/v.mp4"].source, camera="door", start=50.0))
        writer.commit()
    index.refresh()
    assert index.cameras() == ["c0", "c1", "door"] and index.time_range() == (50.0, 103.0)
    assert {p.person_id for p in before} == {p.person_id for p in all_persons(index)}
    hit = index.search(frame("/data/v.mp4", 20).features[0], 1, Filters(cameras=("door",)))[0]
    assert hit.similarity > 0.999 and hit.person.frame.time == 52.0


def test_a_removed_file_is_gone(index):
    fill(index)
    with index.writer() as writer:
        writer.remove(["/data/0.jpg", "/data/v.mp4"])
        writer.commit()
        assert set(writer.states()) == {"/data/1.jpg", "/data/2.jpg", "/data/3.jpg"}
    index.refresh()
    assert index.counts() == Counts(3, 3, 6)


def test_forgotten_persons_are_in_no_file(location, tmp_path):
    with open_index(location, create=INFO) as index:
        fill(index)
    with open_index(location) as index:
        persons = all_persons(index)
        gone = [persons[0].person_id, persons[5].person_id]
        kept = [p.person_id for p in persons if p.person_id not in gone]
        features, others = index.features(gone), index.features(kept)
    assert all(files_holding(tmp_path, feature) for feature in features)
    with open_index(location) as index:
        assert index.forget([*gone, 12345]) == 2
        assert index.counts() == Counts(5, 7, 12)
        np.testing.assert_array_equal(index.features(kept), others)
        hits = index.search(features[0], 50)
        assert {hit.person.person_id for hit in hits} == set(kept)
        with pytest.raises(UserError, match=f"no person {gone[0]}"):
            index.person(gone[0])
        assert index.forget(gone) == 0
    assert [files_holding(tmp_path, feature) for feature in features] == [[], []]
    assert all(files_holding(tmp_path, feature) for feature in others)


def test_mistakes(index, location):
    fill(index)
    with pytest.raises(UserError, match="no person 77"):
        index.features([77])
    with pytest.raises(UserError, match="--top 0: at least 1"):
        index.search(unit(1)[0], 0)
    with pytest.raises(UserError, match="has 8 values, those of the index 16"):
        index.search(unit(1, dim=8)[0])
    with pytest.raises(UserError, match="fingerprint is bbbbbbbbbbbb.*made with aaaaaaaaaaaa"):
        index.check_model("b" * 64)


def test_an_index_of_another_model_or_version_is_refused(location, monkeypatch):
    with pytest.raises(UserError, match="there is no index; make one with"):
        open_index(location)
    open_index(location, create=INFO).close()
    with pytest.raises(UserError, match="two models can't be compared"):
        open_index(location, create=replace(INFO, fingerprint="b" * 64))
    monkeypatch.setattr("person_search.index.base.INDEX_VERSION", 3)
    with pytest.raises(UserError, match="of version 2, and this code reads version 3; run"):
        open_index(location)


NAMES = (
    "caf\udce9.jpg",  # Latin-1
    "café.jpg",  # NFC and NFD are two names
    "cafe\u0301.jpg",
    "\udcff\udce9\udc80.jpg",
    "\U0010fee9.jpg",  # itself of the characters that bytes are stored as
    "a\nb\x1b[31m\t.jpg",
    "100% #1 \"it's\" \\ 'x'.jpg",
    "صورة.jpg",
    "日本🙂.jpg",
    "x" * 250 + ".jpg",
)


def test_names_come_back_as_they_are(index, location):
    """Of files and cameras; any bytes but NUL and / can be in them."""
    with index.writer() as writer:
        for i, name in enumerate(NAMES):
            add_picture(writer, f"/data/{name}", camera=f"c {name}", start=100.0 + i)
        writer.commit()
        assert set(writer.states()) == {f"/data/{name}" for name in NAMES}
        assert {state.source.camera for state in writer.states().values()} == {
            f"c {name}" for name in NAMES
        }
    with open_index(location) as again:
        assert [frame.path for frame in again.frames()] == [f"/data/{name}" for name in NAMES]
        assert set(again.cameras()) == {f"c {name}" for name in NAMES}
        for i, name in enumerate(NAMES):
            (frame,) = again.find_frames(f"/data/{name}")
            assert (frame.path, frame.time) == (f"/data/{name}", 100.0 + i)
            assert again.frames(Filters(cameras=(f"c {name}",))) == [frame]
            ids = [person.person_id for person in again.persons(frame.frame_id)]
            hits = again.search(again.features(ids[:1]), 1, Filters(cameras=(f"c {name}",)))
            assert (hits[0].person.person_id, hits[0].person.frame.path) == (ids[0], frame.path)
        with again.writer() as writer:
            writer.update(replace(source(f"/data/{NAMES[0]}"), camera="c \udcfe"))
            writer.remove([f"/data/{NAMES[5]}"])
            writer.commit()
        again.refresh()
        assert again.find_frames(f"/data/{NAMES[0]}")[0].camera == "c \udcfe"
        assert again.find_frames(f"/data/{NAMES[5]}") == []
        assert again.counts().files == len(NAMES) - 1

"""An index in a folder: kills, torn files, several writers, shards, a full disk."""

import json
import os
import resource
import shutil
import time
from dataclasses import replace

import numpy as np
import pytest

from person_search.errors import UserError
from person_search.index import Counts, open_index
from person_search.index.records_db import Records
from tests.processes import FORKSERVER

from .made_up_index import INFO, add_picture, all_persons, fill, frame

SHARD = "shard-1-of-1"


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "index"


@pytest.fixture
def index(folder):
    with open_index(str(folder), create=INFO) as index:
        yield index


def check_whole(folder):
    """Each person has the feature that belongs to it, and nothing else is in the feature file."""
    with open_index(str(folder)) as index:
        with index.writer():  # finishes what a kill left undone
            pass
        index.refresh()
        for listed in index.frames(limit=100_000):
            ids = [p.person_id for p in index.persons(listed.frame_id)]
            expected = frame(listed.path, persons=len(ids)).features
            np.testing.assert_allclose(index.features(ids), expected, atol=1e-3)
        records = index._shards[1].records
        used = len(records.all_rows()) + len(records.free_rows())
        path = folder / SHARD / "features-0.f16"
        assert (path.stat().st_size if path.exists() else 0) == used * 2 * INFO.dim
        return index.counts()


def write_forever(folder, is_ready):
    with open_index(str(folder), create=INFO) as index, index.writer() as writer:
        first = len(writer.states())
        is_ready.set()
        for i in range(first, 100_000):
            add_picture(writer, f"/data/{i}.jpg")
            if i % 10 == 5:
                writer.remove([f"/data/{i - 3}.jpg"])
            if i % 3 == 0:
                writer.commit()


def test_kills_at_any_moment_leave_it_whole(folder):
    counts = []
    for milliseconds in (0, 10, 40, 110, 200):
        is_ready = FORKSERVER.Event()
        process = FORKSERVER.Process(target=write_forever, args=(folder, is_ready))
        process.start()
        assert is_ready.wait(60)
        time.sleep(milliseconds / 1000)
        process.kill()
        process.join()
        counts.append(check_whole(folder).files)
    assert counts == sorted(counts) and counts[-1] > 3


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_power_cut_around_the_records_commit_loses_nothing(index, folder, monkeypatch, moment):
    """The records may count only features that are on the disk, or the index can't be opened.

    A power cut takes the bytes of the feature file that no ``fsync`` has put on the disk.
    """
    with index.writer() as writer:
        add_picture(writer, "/data/old.jpg")
        writer.commit()
    features = folder / SHARD / "features-0.f16"
    flushed = features.read_bytes()
    left = folder.with_name("left")
    fsync, commit = os.fsync, Records.commit

    def remember(descriptor):
        nonlocal flushed
        fsync(descriptor)
        if os.path.samestat(os.fstat(descriptor), features.stat()):
            flushed = features.read_bytes()

    def cut_power(records):
        if moment == "after":
            commit(records)
        if not left.exists():
            shutil.copytree(folder, left)
            (left / SHARD / "features-0.f16").write_bytes(flushed)
        commit(records)

    with index.writer() as writer:
        add_picture(writer, "/data/new.jpg")
        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", remember)
            patched.setattr(Records, "commit", cut_power)
            writer.commit()
    before, after = Counts(1, 1, 2), Counts(2, 2, 4)
    assert check_whole(left) == {"before": before, "after": after}[moment]
    with open_index(str(left)) as opened, opened.writer() as writer:
        assert ("/data/new.jpg" in writer.states()) == (moment == "after")  # else it is read again
        add_picture(writer, "/data/new.jpg")
        writer.commit()
    assert check_whole(left) == after


def test_a_tail_that_was_never_committed_is_cut(index, folder):
    fill(index)
    path = folder / SHARD / "features-0.f16"
    size = path.stat().st_size
    with open(path, "ab") as file:
        file.write(b"torn")
    (folder / SHARD / "ivf-features-0-7.tmp").write_bytes(b"half")
    (folder / SHARD / "features-1.f16").write_bytes(b"half")
    assert index.counts().persons == 14
    index.writer().close()
    assert path.stat().st_size == size
    names = sorted(p.name for p in (folder / SHARD).iterdir())
    assert names == ["features-0.f16", "lock", "records.sqlite"]


def test_a_short_feature_file_is_refused(index, folder):
    fill(index)
    path = folder / SHARD / "features-0.f16"
    path.write_bytes(path.read_bytes()[:-1])
    with open_index(str(folder)) as opened:
        with pytest.raises(UserError, match="the index counts 14 features of 32 bytes; restore"):
            opened.search(frame("/data/0.jpg").features[0])
        with pytest.raises(UserError, match="14 features"):
            opened.writer()
        path.write_bytes(path.read_bytes() + b"x")
        opened.writer().close()  # the failed one has let go of the shard


@pytest.mark.parametrize("content", ["", "[]", "{}", "no json"])
def test_a_damaged_description_is_refused(index, folder, content):
    (folder / "index.json").write_text(content)
    with pytest.raises(UserError, match="index.json is damaged .*; restore it from a backup"):
        open_index(str(folder))


@pytest.mark.parametrize(
    "change", [{"dim": "256"}, {"dim": 0}, {"num_shards": 0}, {"version": "2"}, {"model": None}]
)
def test_a_damaged_value_of_the_description_is_refused(index, folder, change):
    path = folder / "index.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(UserError, match=f"index.json is damaged .*{next(iter(change))}"):
        open_index(str(folder))


def test_a_later_version_is_named(index, folder):
    (folder / "index.json").write_text('{"version": 7, "something": "new"}')
    with pytest.raises(UserError, match="is of version 7, and this code reads version 2; run"):
        open_index(str(folder))


def test_damaged_records_are_refused(index, folder):
    fill(index)
    index.close()
    (folder / SHARD / "records.sqlite").write_bytes(b"no database" * 100)
    with pytest.raises(UserError, match="records.sqlite: file is not a database; restore"):
        open_index(str(folder))


def test_two_writers(index, folder):
    fill(index)
    with open_index(str(folder)) as other, index.writer() as writer:
        with pytest.raises(UserError, match=r"another process \(id \d+\) is writing to .*; wait"):
            other.writer()
        with pytest.raises(UserError, match="another process"):
            other.forget([1])
        add_picture(writer, "/data/new.jpg")
        assert other.counts().persons == 14  # readers read on
        writer.commit()
        other.refresh()
        assert other.counts().persons == 16
    index.writer().close()


def test_a_writer_in_another_process(folder):
    is_ready = FORKSERVER.Event()
    process = FORKSERVER.Process(target=write_forever, args=(folder, is_ready))
    process.start()
    assert is_ready.wait(60)
    with open_index(str(folder)) as index:
        with pytest.raises(UserError, match=rf"another process \(id {process.pid}\) is writing"):
            index.writer()
        process.kill()
        process.join()
        index.writer().close()


def test_a_reader_follows_a_writer(index, folder):
    fill(index)
    wanted = frame("/data/new.jpg").features[0]
    with open_index(str(folder)) as reader:
        assert reader.search(wanted, 1)[0].similarity < 0.99
        with index.writer() as writer:
            add_picture(writer, "/data/new.jpg")
            writer.remove(["/data/0.jpg"])
            writer.commit()
        assert reader.search(wanted, 1)[0].similarity > 0.999
        assert len(reader.search(wanted, 50)) == 14
        everybody = [p.person_id for p in all_persons(reader)]
        reader.forget(everybody[:12])  # the feature file is written anew
        assert {h.person.person_id for h in index.search(wanted, 50)} == set(everybody[12:])
        assert index.search(wanted, 1)[0].similarity == reader.search(wanted, 1)[0].similarity


def test_the_feature_file_is_compacted(index, folder):
    fill(index)
    persons = all_persons(index)
    gone, kept = [p.person_id for p in persons[2:12]], [persons[i].person_id for i in (0, 1, 12)]
    before = index.features(kept)
    index.forget(gone)
    assert sorted(p.name for p in (folder / SHARD).glob("features*")) == ["features-1.f16"]
    assert (folder / SHARD / "features-1.f16").stat().st_size == 4 * 2 * INFO.dim
    np.testing.assert_array_equal(index.features(kept), before)
    with index.writer() as writer:
        add_picture(writer, "/data/new.jpg")
        writer.commit()
    index.refresh()
    assert index.search(frame("/data/new.jpg").features[1], 1)[0].similarity > 0.999
    np.testing.assert_array_equal(index.features(kept), before)


def test_a_removal_that_was_killed_before_it_erased_is_finished(index, folder, monkeypatch):
    fill(index)
    first = all_persons(index)[0]
    feature = index.features([first.person_id])[0].astype(np.float16).tobytes()
    path = folder / SHARD / "features-0.f16"
    with monkeypatch.context() as patched:
        patched.setattr("person_search.index.shard.ShardWriter._erase_free_rows", lambda self: None)
        with index.writer() as writer:
            writer.remove([first.frame.path])
            writer.commit()
    assert feature in path.read_bytes()
    index.writer().close()
    assert feature not in path.read_bytes()


def test_shards_are_searched_as_one(folder):
    info = replace(INFO, num_shards=3)
    with open_index(str(folder), create=info) as index:
        assert index.counts() == Counts(0, 0, 0)
        with index.writer(1) as first, index.writer(3) as third:  # both at once
            for i in range(4):
                add_picture((first, third)[i % 2], f"/data/{i}.jpg", f"c{i}", start=100.0 - i)
            first.commit()
            third.commit()
        index.refresh()
        assert index.counts() == Counts(4, 4, 8)
        assert [f.time for f in index.frames(offset=1, limit=2)] == [98.0, 99.0]
        persons = all_persons(index)
        assert len({p.person_id for p in persons}) == 8
        for person in persons:
            feature = index.features([person.person_id])[0]
            assert index.search(feature, 1)[0].person == person
        assert index.search(feature, 8)[0].similarity > index.search(feature, 8)[1].similarity
        assert index.forget([persons[0].person_id, persons[7].person_id]) == 2
        assert [p.person_id for p in all_persons(index)] == [p.person_id for p in persons[1:7]]
        with pytest.raises(UserError, match="shard 4: the index has shards 1 to 3"):
            index.writer(4)
    with pytest.raises(UserError, match="is split into 3 shards; run it with --shard 1/3 to"):
        open_index(str(folder), create=INFO)


def test_an_index_that_is_not_split_stays_so(index, folder):
    with pytest.raises(UserError, match="--shard i/2: index .* is not split; leave --shard out"):
        open_index(str(folder), create=replace(INFO, num_shards=2))


def test_a_folder_of_other_files_is_refused(tmp_path):
    (tmp_path / "holiday.jpg").write_bytes(b"")
    with pytest.raises(UserError, match=r"other files \(holiday.jpg for one\); name an empty"):
        open_index(str(tmp_path), create=INFO)
    assert [p.name for p in tmp_path.iterdir()] == ["holiday.jpg"]


def test_the_description_of_the_first_is_kept(folder):
    open_index(str(folder), create=INFO).close()
    content = (folder / "index.json").read_text()
    open_index(str(folder), create=replace(INFO, model="/other")).close()
    assert (folder / "index.json").read_text() == content
    assert json.loads(content)["version"] == 2


def test_a_full_disk_loses_nothing(index, folder):
    """A limit on the size of files fails as a full disk does, in the midst of a write."""
    fill(index)
    size = (folder / SHARD / "features-0.f16").stat().st_size
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 40, limits[1]))
    try:
        with pytest.raises(UserError, match=r"the disk is full .*; free some space and run the"):
            with index.writer() as writer:
                add_picture(writer, "/data/new.jpg")
                writer.commit()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    index.refresh()
    assert index.counts().persons == 14
    with index.writer() as writer:
        add_picture(writer, "/data/new.jpg")
        writer.commit()
    assert index.search(frame("/data/new.jpg").features[0], 1)[0].similarity > 0.999

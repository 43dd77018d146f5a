"""``person-search index``: what is read, what is not read again, and what goes wrong."""

import os
import re
import shutil
import signal
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fully_decoupled_ps.data.cut_jpeg import LACKS_END
from person_search.index import open_index
from person_search.media import finding, stream
from person_search.media.frames import read_frame
from person_search.media.stream import FileStream
from person_search.network import Predictor
from person_search.search import indexing
from tests.data.coded_videos import cut, join_streams, number_in, write_video
from tests.processes import start_process
from tests.tiny_run import make_run, picture, save_picture, save_video

from .command import index_args, run, run_slowly


@pytest.fixture
def media(tmp_path):
    """Two cameras with two pictures each, and a video of ten frames, two seconds long."""
    folder = tmp_path / "media"
    for i in range(4):
        path = save_picture(folder / f"cam{i % 2}" / f"{i}.png", seed=i)
        os.utime(path, (1000 + i, 1000 + i))
    os.utime(save_video(folder / "hall" / "v.avi"), (5000, 5000))
    return folder


@pytest.fixture
def index_folder(tmp_path):
    return tmp_path / "index"


@pytest.fixture
def passes(monkeypatch):
    """Numbers of frames that the network ran on, a batch each."""
    sizes = []
    network_run = Predictor.run

    def count(self, inputs):
        if "queries" not in inputs[0]:  # that is the probe of the dimension
            sizes.append(len(inputs))
        return network_run(self, inputs)

    monkeypatch.setattr(Predictor, "run", count)
    return sizes


class Close:
    """Numbers, equal to others within a tolerance: batches of other sizes round otherwise."""

    def __init__(self, numbers, tolerance):
        self.numbers = np.asarray(numbers)
        self.tolerance = tolerance

    def __eq__(self, other):
        return self.numbers.shape == other.numbers.shape and np.allclose(
            self.numbers, other.numbers, rtol=0, atol=self.tolerance
        )

    def __repr__(self):
        return repr(self.numbers)


def snapshot(folder):
    """Everything in an index, by frame, without ids."""
    with open_index(str(folder)) as index:
        content = {}
        for frame in index.frames(limit=1000):
            persons = index.persons(frame.frame_id)
            features = index.features([p.person_id for p in persons])
            boxes = Close([[*p.box, p.score] for p in persons], 0.01)
            content[frame.name] = (frame.camera, frame.time, boxes, Close(features, 1e-3))
        return content


def test_pictures_and_videos(media, index_folder, run_folder, network, caplog):
    caplog.set_level("INFO")
    # batches of other sizes round otherwise, and bfloat16 does so in the third digit
    args = index_args(run_folder, index_folder, media, "--precision", "float32")
    assert run(*args) == 0
    assert "5 files read (6 frames, " in caplog.text
    with open_index(str(index_folder)) as index:
        frames = index.frames()
        assert [(f.camera, f.pts, f.time) for f in frames] == [
            *[("cam0", None, 1000), ("cam1", None, 1001), ("cam0", None, 1002)],
            *[("cam1", None, 1003), ("hall", 0, 4998), ("hall", 5, 4999)],
        ]
        for frame in (frames[0], frames[5]):
            found = network.detect(read_frame(frame.path, frame.pts, frame.checksum))
            keep = found.scores >= 0.01
            assert keep.any()
            persons = index.persons(frame.frame_id)
            np.testing.assert_allclose([p.box for p in persons], found.boxes[keep], atol=1e-3)
            features = index.features([p.person_id for p in persons])
            np.testing.assert_allclose(features, found.features[keep], atol=1e-3)
        assert (index.info.fingerprint, index.info.dim) == (network.fingerprint, 256)


def test_worker_processes_change_nothing(media, tmp_path, run_folder, monkeypatch):
    monkeypatch.setattr("person_search.media.stream._start_worker", None)
    assert run(*index_args(run_folder, tmp_path / "a", media)) == 0
    assert run(*index_args(run_folder, tmp_path / "b", media, "--workers", 2)) == 0
    assert snapshot(tmp_path / "a") == snapshot(tmp_path / "b")


def test_only_what_is_new_or_changed_is_read_again(media, index_folder, run_folder, passes):
    args = index_args(run_folder, index_folder, media, "--batch-size", 1)
    assert run(*args) == 0 and len(passes) == 6
    before = snapshot(index_folder)
    assert run(*args) == 0 and len(passes) == 6
    assert snapshot(index_folder) == before
    save_picture(media / "cam0" / "0.png", seed=9)
    save_picture(media / "cam0" / "new.png", seed=10)
    assert run(*args) == 0 and len(passes) == 8
    after = snapshot(index_folder)
    changed = str(media / "cam0" / "0.png")
    assert after[changed] != before[changed]
    assert {name for name in after if after[name] != before.get(name)} == {
        changed,
        str(media / "cam0" / "new.png"),
    }
    assert run(*args, "--score-thresh", "0.02") == 0 and len(passes) == 15
    assert run(*args, "--score-thresh", "0.02", "--fps", "2") == 0 and len(passes) == 19


def test_camera_and_time_are_changed_without_the_network(media, index_folder, run_folder, passes):
    assert run(*index_args(run_folder, index_folder, media)) == 0
    before = sum(passes)
    patterns = ("--camera-pattern", r"media/(?P<camera>[a-z]+)", "--start", "2024-01-01")
    assert run(*index_args(run_folder, index_folder, media, *patterns)) == 0
    assert sum(passes) == before
    with open_index(str(index_folder)) as index:
        assert index.cameras() == ["cam", "hall"]
        start, end = index.time_range()
        assert end == start + 1


def test_stopping_loses_nothing(media, index_folder, tmp_path, run_folder, passes, monkeypatch):
    """Ctrl-C in the first pass of each run: it finishes its batch, and the next goes on."""
    args = index_args(run_folder, index_folder, media, "--batch-size", 1)
    handler = signal.getsignal(signal.SIGINT)
    counted_run = Predictor.run

    pressed = set()

    def press_ctrl_c(self, inputs):
        if "queries" not in inputs[0] and frames not in pressed:
            pressed.add(frames)
            os.kill(os.getpid(), signal.SIGINT)
        return counted_run(self, inputs)

    with monkeypatch.context() as patched:
        patched.setattr(Predictor, "run", press_ctrl_c)
        for frames in range(1, 7):
            assert run(*args) == 130
            with open_index(str(index_folder)) as index:
                assert index.counts().frames == frames
    assert run(*args) == 0
    assert len(passes) == 6
    assert run(*index_args(run_folder, tmp_path / "whole", media, "--batch-size", 1)) == 0
    assert snapshot(index_folder) == snapshot(tmp_path / "whole")
    assert signal.getsignal(signal.SIGINT) is handler


def test_a_killed_run_goes_on(tmp_path, index_folder, run_folder):
    """SIGKILL of the command, with a worker process that lives on for a while."""
    for i in range(60):
        save_picture(tmp_path / "many" / f"{i}.png", seed=i)
    args = index_args(run_folder, index_folder, tmp_path / "many", "--batch-size", 1)
    process = start_process(run_slowly, *args, "--workers", 1)
    done = 0
    while done < 5 and process.is_alive():
        time.sleep(0.01)
        if (index_folder / "shard-1-of-1" / "records.sqlite").exists():
            with open_index(str(index_folder)) as index:
                done = index.counts().files
    assert process.is_alive()
    process.kill()
    process.join()
    assert 5 <= done < 60
    assert run(*args) == 0
    whole = index_args(run_folder, tmp_path / "whole", tmp_path / "many", "--batch-size", 1)
    assert run(*whole) == 0
    assert snapshot(index_folder) == snapshot(tmp_path / "whole")


def test_unreadable_files_are_listed(media, index_folder, run_folder, caplog):
    (media / "cam0" / "broken.jpg").write_bytes(b"none")
    (media / "hall" / "broken.mp4").write_bytes(b"none")
    args = index_args(run_folder, index_folder, media)
    for _ in range(2):  # they are tried again
        caplog.clear()
        assert run(*args) == 1
        assert "2 file(s) could not be read:" in caplog.text
        assert f"picture {media}/cam0/broken.jpg can't be read" in caplog.text
        assert f"video {media}/hall/broken.mp4 can't be opened" in caplog.text
    with open_index(str(index_folder)) as index:
        assert index.counts().files == 5
    save_picture(media / "cam0" / "broken.jpg", seed=7)
    os.remove(media / "hall" / "broken.mp4")
    assert run(*args) == 0


@pytest.mark.parametrize("workers", [0, 2])
def test_no_file_ends_a_run(media, index_folder, run_folder, caplog, monkeypatch, workers):
    """Not a decoder that raises anything, a pipe that nobody writes to, nor a folder."""

    def fail(*args):
        raise KeyError("of a plugin")

    Image.init()  # or what loads all plugins later puts its own there again
    monkeypatch.setitem(Image.OPEN, "WEBP", (fail, lambda prefix: prefix[:4] == b"RIFF"))
    (media / "cam0" / "broken.webp").write_bytes(b"RIFF")
    os.mkfifo(media / "cam0" / "pipe.jpg")
    args = index_args(run_folder, index_folder, media, media / "cam0" / "pipe.jpg")
    assert run(*args, "--workers", workers) == 1
    assert "2 file(s) could not be read:" in caplog.text
    assert "broken.webp can't be read ('of a plugin')" in caplog.text
    assert "pipe.jpg is a pipe, a socket or a device, which can't be indexed" in caplog.text
    with open_index(str(index_folder)) as index:
        assert index.counts().files == 5


def test_what_was_assumed_of_pictures_is_told(media, index_folder, run_folder, caplog):
    for name in ("a.jpg", "b.jpg"):
        path = save_picture(media / "cam0" / name, seed=8)
        path.write_bytes(path.read_bytes()[:-2])
    assert run(*index_args(run_folder, index_folder, media)) == 0
    assert f"2 file(s) each of which {LACKS_END}; first: {media}/cam0/a.jpg" in caplog.text


def test_a_picture_has_the_same_persons_with_8_and_16_bits_and_beside_any_other(
    tmp_path, index_folder, run_folder
):
    grey = picture(3)[:, :, 0]
    for name, content in (
        ("8.png", grey),
        ("16.png", grey * np.uint16(257)),
        ("tall.png", np.full((500, 90), 110, np.uint8)),
    ):
        (tmp_path / "media").mkdir(exist_ok=True)
        Image.fromarray(content).save(tmp_path / "media" / name)
    assert run(*index_args(run_folder, index_folder, tmp_path / "media")) == 0
    assert run(*index_args(run_folder, tmp_path / "alone", tmp_path / "media" / "8.png")) == 0
    together = {os.path.basename(k): v[2:] for k, v in snapshot(index_folder).items()}
    ((_, _, boxes, features),) = snapshot(tmp_path / "alone").values()
    assert len(boxes.numbers) > 0
    for name in ("8.png", "16.png"):
        assert together[name][0] == boxes
        assert Close(features.numbers, 2e-3) == together[name][1]


def test_nothing_that_can_be_read(tmp_path, index_folder, run_folder, capsys):
    save_video(tmp_path / "v" / "empty.avi", num_frames=0)
    assert run(*index_args(run_folder, index_folder, tmp_path / "v" / "empty.avi")) == 2
    assert re.search(r"error: video .*empty.avi (has no frame|can't be opened)", _error(capsys))
    (tmp_path / "v" / "broken.jpg").write_bytes(b"none")
    assert run(*index_args(run_folder, index_folder, tmp_path / "v")) == 2
    assert "(and 1 more, listed above)" in _error(capsys)


def _error(capsys):
    return next(line for line in capsys.readouterr().err.splitlines() if "error:" in line)


def test_a_worker_that_is_killed(media, index_folder, run_folder, monkeypatch, capsys):
    def kill(self, job):
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(FileStream, "_read", kill)
    assert run(*index_args(run_folder, index_folder, media, "--workers", 1)) == 2
    assert "a process that reads files was killed" in _error(capsys)


def test_a_file_that_became_unreadable_keeps_its_persons(media, index_folder, run_folder):
    args = index_args(run_folder, index_folder, media)
    assert run(*args) == 0
    before = snapshot(index_folder)
    (media / "cam1" / "1.png").write_bytes(b"none")
    assert run(*args) == 1
    assert snapshot(index_folder) == before


def test_what_is_assumed_or_left_out_of_videos_is_told(tmp_path, run_folder, index_folder, caplog):
    caplog.set_level("INFO")
    folder = tmp_path / "v"
    folder.mkdir()
    part = write_video(tmp_path / "part.mp4", stamps=range(30))
    join_streams(folder / "two.mkv", part, part)
    write_video(folder / "raw.h264", format="h264")
    args = index_args(run_folder, index_folder, folder)
    assert run(*args) == 0
    told = "1 file(s) each of which holds 2 video streams, of which only number 1 is read (96 x 64)"
    assert f"{told}; first: {folder}/two.mkv" in caplog.text
    assert "1 video(s) are taken to start at the time of the last change less the du" in caplog.text
    assert "1 video(s) are taken to start at the time of the last change (no dura" in caplog.text
    caplog.clear()
    assert run(*args, "--start", "2024-05-31") == 0
    assert "taken to start" not in caplog.text


def test_recordings_that_were_joined_are_told(tmp_path, run_folder, index_folder, caplog):
    joined = tmp_path / "v" / "joined.mp4"
    joined.parent.mkdir()
    content = Path(write_video(joined)).read_bytes()
    joined.write_bytes(content + content)
    args = index_args(run_folder, index_folder, joined.parent)
    for _ in range(2):
        caplog.clear()
        assert run(*args) == 1
        assert "joined.mp4 holds another recording behind the first one" in caplog.text
    assert len(snapshot(index_folder)) == 2  # 1.6 s
    joined.write_bytes(content)
    assert run(*args) == 0
    assert len(snapshot(index_folder)) == 2


@pytest.fixture
def recording(tmp_path):
    """A recording of 60 frames, 12 s long, whose header is in front."""
    path = tmp_path / "media" / "v.mp4"
    path.parent.mkdir()
    front = {"movflags": "faststart"}
    stamps, base = range(60), Fraction(1, 5)
    return write_video(path, stamps=stamps, time_base=base, container_options=front)


def test_a_recording_that_is_cut_short_is_read_on(
    recording, tmp_path, index_folder, run_folder, passes, caplog
):
    """What can be read of it is kept; later only the remainder is."""
    whole = Path(recording).read_bytes()
    args = index_args(run_folder, index_folder, tmp_path / "media", "--start", "1970-01-02")
    cut(recording, 0.6)
    for _ in range(2):
        caplog.clear()
        assert run(*args) == 1
        assert "1 video(s) could be read in part; what could be is in the index" in caplog.text
        assert re.search(r"v.mp4 .*ends after \d.\d s of the 11.8 s that it should", caplog.text)
    before, count = snapshot(index_folder), sum(passes)
    assert 5 <= count == len(before) < 9
    Path(recording).write_bytes(whole)
    assert run(*args) == 0 and sum(passes) == 12
    after = snapshot(index_folder)
    assert {name: after[name] for name in before} == before and len(after) == 12
    assert run(*args) == 0 and sum(passes) == 12
    args = index_args(run_folder, tmp_path / "b", tmp_path / "media", "--start", "1970-01-02")
    assert run(*args) == 0
    assert snapshot(tmp_path / "b") == after


def test_a_recording_that_grows(tmp_path, index_folder, run_folder, passes):
    """A transport stream says nothing of its length."""
    stream = tmp_path / "media" / "v.ts"
    stream.parent.mkdir()
    write_video(stream, stamps=range(60), time_base=Fraction(1, 5))
    whole = stream.read_bytes()
    args = index_args(run_folder, index_folder, tmp_path / "media", "--start", "1970-01-02")
    counts = []
    for share in (0.3, 0.7, 1):
        stream.write_bytes(whole[: int(len(whole) * share) // 188 * 188])
        run(*args)
        counts.append(sum(passes))
    assert counts[0] < counts[1] < counts[2] == 12
    whole = index_args(run_folder, tmp_path / "b", tmp_path / "media", "--start", "1970-01-02")
    assert run(*whole) == 0
    assert snapshot(index_folder) == snapshot(tmp_path / "b")


def test_a_recording_that_is_another_is_read_anew(
    recording, tmp_path, index_folder, run_folder, passes
):
    args = index_args(run_folder, index_folder, tmp_path / "media")
    assert run(*args) == 0 and sum(passes) == 12
    stat = os.stat(recording)
    os.utime(recording, ns=(stat.st_atime_ns, stat.st_mtime_ns + 10**9))  # touched: the same
    assert run(*args) == 0 and sum(passes) == 12
    write_video(recording, stamps=range(30), time_base=Fraction(1, 5), size=(192, 128))
    assert run(*args) == 0 and sum(passes) == 18
    with open_index(str(index_folder)) as index:
        frames = index.frames()
        assert [(f.width, f.height) for f in frames] == [(192, 128)] * 6
        for frame in frames:
            image = read_frame(frame.path, frame.pts, frame.checksum)
            assert number_in(image) == round(frame.offset * 5)


def test_a_recording_that_is_still_written(
    recording, run_folder, index_folder, monkeypatch, caplog
):
    """It is touched while the network runs."""
    network_run = Predictor.run

    def run_and_touch(self, inputs):
        os.utime(recording)
        return network_run(self, inputs)

    args = index_args(run_folder, index_folder, recording, "--batch-size", 1)
    with monkeypatch.context() as patched:
        patched.setattr(Predictor, "run", run_and_touch)
        assert run(*args) == 1
    assert "was written to while it was read; run the same command" in caplog.text
    assert len(snapshot(index_folder)) == 12
    assert run(*args) == 0


def test_files_that_are_gone(media, index_folder, run_folder, caplog):
    caplog.set_level("INFO")
    args = index_args(run_folder, index_folder, media)
    assert run(*args) == 0
    os.remove(media / "cam0" / "0.png")
    shutil.rmtree(media / "hall")
    # not below what is named: nothing is known of it
    assert run(*index_args(run_folder, index_folder, media / "cam1", "--prune")) == 0
    assert len(snapshot(index_folder)) == 6
    assert run(*args) == 0
    assert f"2 files of the index are gone from the disk, {media}/cam0/0.png" in caplog.text
    assert len(snapshot(index_folder)) == 6
    assert run(*args, "--prune") == 0
    assert sorted(name[-5:] for name in snapshot(index_folder)) == ["1.png", "2.png", "3.png"]


def test_files_that_can_not_be_reached_are_kept(media, index_folder, run_folder, caplog):
    """As when a disk is not mounted: the folder is there, and empty."""
    args = index_args(run_folder, index_folder, media)
    assert run(*args) == 0
    before = snapshot(index_folder)
    os.remove(media / "cam0" / "0.png")
    os.rename(media / "cam1", media.parent / "away")
    os.mkdir(media / "cam1")
    for options in ((), ("--prune",)):
        caplog.clear()
        assert run(*args, *options) == 1
        assert "2 file(s) of the index can't be reached and are kept:" in caplog.text
        assert f"2: {media}/cam1 is empty; is a disk or a share not mounted?" in caplog.text
        assert f"person-search forget --index {index_folder} --frame" in caplog.text
    gone = str(media / "cam0" / "0.png")
    assert snapshot(index_folder) == {k: v for k, v in before.items() if k != gone}
    os.rmdir(media / "cam1")
    os.rename(media.parent / "away", media / "cam1")
    assert run(*args, "--prune") == 0
    assert set(snapshot(index_folder)) == before.keys() - {gone}


def test_shards_have_each_file_once(media, index_folder, tmp_path, run_folder):
    for i in (1, 2, 3):
        args = index_args(run_folder, index_folder, media, "--shard", f"{i}/3")
        assert run(*args) == 0
    assert run(*index_args(run_folder, tmp_path / "whole", media)) == 0
    assert snapshot(index_folder) == snapshot(tmp_path / "whole")


def test_mistakes(media, index_folder, run_folder, tmp_path, capsys, caplog):
    def error(*args):
        capsys.readouterr()
        assert run(*index_args(run_folder, index_folder, *args)) == 2
        message = capsys.readouterr().err
        assert message.startswith("error: ") and message.count("\n") == 1
        assert not index_folder.exists()
        return message

    (tmp_path / "empty").mkdir()
    assert "holds no picture" in error(tmp_path / "empty")
    assert "nowhere: no such file or folder" in error(tmp_path / "nowhere")
    for shard in ("3", "0/2", "3/2", "a/b", "1/1001"):
        assert f"--shard {shard}: write i/n" in error(media, "--shard", shard)
    assert "does not match" in error(media, "--camera-pattern", "(?P<camera>zzz)")
    assert "is no time" in error(media, "--start", "soon")
    assert "no such file or folder; name the output" in error(media, "--model", "nowhere")


def test_a_second_writer_is_refused(media, index_folder, run_folder, capsys):
    args = index_args(run_folder, index_folder, media)
    assert run(*args) == 0
    before = snapshot(index_folder)
    save_picture(media / "cam0" / "new.png", seed=10)
    with open_index(str(index_folder)) as index, index.writer():
        capsys.readouterr()
        assert run(*args) == 2
        assert "another process" in capsys.readouterr().err
    assert snapshot(index_folder) == before


def test_another_model_is_refused(media, index_folder, run_folder, tmp_path, capsys):
    assert run(*index_args(run_folder, index_folder, media)) == 0
    other = make_run(tmp_path / "other", ("INPUT.MIN_SIZE_TEST", 48))
    capsys.readouterr()
    assert run(*index_args(other, index_folder, media)) == 2
    assert "features of two models can't be compared" in capsys.readouterr().err


def test_what_is_passed_over_is_told(media, index_folder, run_folder, caplog):
    caplog.set_level("INFO")
    for name in ("a.txt", "b.TXT", "Thumbs.db", "cam0/@eaDir/0.png/thumb.png", "cam0/._0.png"):
        path = media / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"1")
    args = index_args(run_folder, index_folder, media)
    assert run(*args) == 0
    assert "passed over: 2 .txt, 1 .db, 1 folder(s) @eaDir, 1 hidden file(s)" in caplog.text
    (media / "cam9").symlink_to("/nowhere/cam9")
    (media / "cam0" / "empty.jpg").touch()
    assert run(*args) == 1
    assert "2 file(s) could not be read:" in caplog.text
    assert f"{media}/cam9 can't be read (a link to /nowhere/cam9" in caplog.text
    assert f"{media}/cam0/empty.jpg is empty" in caplog.text


@pytest.mark.parametrize("error", [KeyError("x"), SyntaxError("broken PNG"), RecursionError()])
def test_no_exception_of_a_decoder_ends_a_run(
    media, index_folder, run_folder, caplog, monkeypatch, error
):
    def read(path):
        if path.endswith("1.png"):
            raise error
        return load_image(path)

    load_image = stream.load_image
    monkeypatch.setattr(stream, "load_image", read)
    monkeypatch.setattr(indexing.videos, "count_frames", lambda *_: 1 / 0)
    assert run(*index_args(run_folder, index_folder, media)) == 1
    assert f"{media}/cam1/1.png: {error!r}" in caplog.text
    assert len(snapshot(index_folder)) == 5


def test_a_file_with_several_names_is_in_once(media, index_folder, run_folder, passes, caplog):
    caplog.set_level("INFO")
    link = media / "hall" / "latest.png"
    link.symlink_to("../cam0/0.png")
    real = str(media / "cam0" / "0.png")

    def run_on(*paths):
        assert run(*index_args(run_folder, index_folder, *paths, "--batch-size", 1)) == 0
        return set(snapshot(index_folder))

    assert run_on(link) == {str(link)}  # as old versions had it, too
    before = snapshot(index_folder)[str(link)]
    assert run_on(media / "cam0") == {real, str(media / "cam0" / "2.png")}
    assert "1 links were removed from the index" in caplog.text
    assert snapshot(index_folder)[real][2:] == before[2:] and len(passes) == 3
    assert run_on(link) == run_on(media / "cam0") == {real, str(media / "cam0" / "2.png")}
    assert f"1 links were passed over, {link} for example: the index has" in caplog.text
    assert len(passes) == 3


def test_links_in_other_shards_are_in_once(media, index_folder, run_folder):
    links = media.parent / "links"
    links.mkdir()
    for i in range(4):
        (links / f"{i}.png").symlink_to(media / f"cam{i % 2}" / f"{i}.png")

    def run_on(path):
        for i in (1, 2, 3, 1, 2, 3):
            assert run(*index_args(run_folder, index_folder, path, "--shard", f"{i}/3")) == 0
        return len(snapshot(index_folder))

    assert run_on(links) == 4
    assert run_on(media) == 6  # with two frames of the video
    assert run_on(links) == 6


def test_a_name_in_the_index_stays_until_the_better_one_is_in(media, index_folder, run_folder):
    (media / "latest.png").symlink_to("cam0/0.png")
    assert run(*index_args(run_folder, index_folder, media / "latest.png")) == 0
    before = snapshot(index_folder)
    (media / "cam0" / "0.png").write_bytes(b"none")
    assert run(*index_args(run_folder, index_folder, media)) == 1
    after = snapshot(index_folder)
    assert len(after) == 6
    assert after[str(media / "latest.png")] == before[str(media / "latest.png")]


def test_previews_that_an_old_version_took_are_told_and_pruned(
    media, index_folder, run_folder, monkeypatch, caplog
):
    caplog.set_level("INFO")
    preview = save_picture(media / "cam0" / "@eaDir" / "0.png" / "thumb.png", seed=0)
    args = index_args(run_folder, index_folder, media)
    with monkeypatch.context() as patched:
        patched.setattr(finding, "LITTER", frozenset())
        assert run(*args) == 0
    assert len(snapshot(index_folder)) == 7
    assert run(*args) == 0
    assert f"1 files of the index are in folders that are passed over now, {preview}" in caplog.text
    assert len(snapshot(index_folder)) == 7
    assert run(*args, "--prune") == 0
    assert len(snapshot(index_folder)) == 6 and str(preview) not in snapshot(index_folder)
    # who names such a folder means it
    assert run(*index_args(run_folder, index_folder, preview.parent, "--prune")) == 0
    assert len(snapshot(index_folder)) == 7

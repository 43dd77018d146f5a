"""Frames of videos: in order, at their times, and the same when they are read again."""

import os
import shutil
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest

from fully_decoupled_ps import UserError
from fully_decoupled_ps.data import video_decoding, videos
from fully_decoupled_ps.data.videos import count_frames, left_out, read_frame, read_frames

from .coded_videos import (
    CLOSED,
    OPEN,
    REFRESHED,
    SIZE,
    cut,
    damage,
    join_streams,
    number_in,
    numbered_frame,
    turn,
    write_video,
)

FAST_START = {"movflags": "faststart"}
KINDS = {
    "v.mp4": {"options": CLOSED},
    "open.mp4": {"options": OPEN},
    "v.mov": {"options": CLOSED},
    "v.3gp": {"options": CLOSED},
    "fragments.mp4": {"container_options": {"movflags": "frag_keyframe+empty_moov"}},
    "v.ts": {"options": CLOSED},
    "open.m2ts": {"options": OPEN},
    "refreshed.ts": {"options": REFRESHED},
    "v.mkv": {"options": OPEN},
    "v.flv": {"options": CLOSED},
    "v.avi": {"options": CLOSED},
    "mpeg4.avi": {"codec": "mpeg4"},
    "jpeg.avi": {"codec": "mjpeg", "pixels": "yuvj420p"},
    "v.mpg": {"codec": "mpeg2video"},
    "v.wmv": {"codec": "wmv2"},
    "v.webm": {"codec": "libvpx"},
    "v.h264": {"format": "h264"},
    "raw.mp4": {"format": "h264", "options": OPEN},
    "v.m4v": {"codec": "mpeg4", "format": "m4v"},
    "jpeg.mp4": {"codec": "mjpeg", "pixels": "yuvj420p", "format": "mjpeg"},
}


def make(path, container_options=None, **arguments):
    if container_options:
        arguments["format"], arguments["container_options"] = "mp4", container_options
    return write_video(path, **arguments)


def numbers(frames):
    return [number_in(frame.image()) for frame in frames]


@pytest.mark.parametrize("name", list(KINDS))
def test_each_frame_is_found_again(tmp_path, name):
    path = make(tmp_path / name, **KINDS[name])
    frames = list(read_frames(path))
    assert numbers(frames) == list(range(40))
    offsets = [frame.offset for frame in frames]
    np.testing.assert_allclose(offsets, np.arange(40) / 25, atol=0.0006)  # some round to ms
    stamps = [frame.pts for frame in frames]
    assert stamps == sorted(set(stamps))
    for frame in frames[::6] + frames[-1:]:
        again = read_frame(path, frame.pts, frame.checksum())
        np.testing.assert_array_equal(again, frame.image())
        assert again.dtype == np.uint8 and again.flags.c_contiguous
        np.testing.assert_array_equal(read_frame(path, frame.pts), frame.image())


@pytest.mark.parametrize("name", ["v.mp4", "open.mp4", "v.mkv", "v.ts", "v.avi"])
def test_a_frame_is_looked_for_near_its_place(tmp_path, name, monkeypatch):
    """Decoding from the start gives it too, but takes as long as the video is."""
    path = make(tmp_path / name, **KINDS[name])
    frame = list(read_frames(path))[33]
    monkeypatch.setattr(videos, "read_frames", None)
    np.testing.assert_array_equal(read_frame(path, frame.pts, frame.checksum()), frame.image())


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("v.h264", "libx264", {}),
        ("v.hevc", "libx265", {"x265-params": "log-level=none"}),
        ("v.m4v", "mpeg4", {}),
        ("v.264", "libx264", {"x264-params": "force-cfr=1:fps=5"}),
    ],
)
def test_a_raw_stream_has_the_frame_rate_that_it_names(tmp_path, name, codec, options):
    path, format_name = tmp_path / name, {"v.264": "h264"}.get(name, name[2:])
    with av.open(str(path), "w", format=format_name) as output:
        stream = output.add_stream(codec, rate=5, options=options)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        for number in range(20):
            image = numbered_frame(number)
            output.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        output.mux(stream.encode())
    frames = list(read_frames(str(path)))
    assert numbers(frames) == list(range(20))
    np.testing.assert_allclose([f.offset for f in frames], np.arange(20) / 5, atol=1e-6)
    again = read_frame(str(path), frames[13].pts, frames[13].checksum())
    np.testing.assert_array_equal(again, frames[13].image())


def test_names_are_the_time_stamps_of_the_file(tmp_path):
    stamps = [7, 40, 45, 1000, 1001, 2**33]
    path = write_video(tmp_path / "v.mkv", stamps=stamps, time_base=Fraction(1, 1000))
    frames = list(read_frames(path))
    assert [frame.pts for frame in frames] == stamps
    assert [frame.offset for frame in frames] == [(stamp - 7) / 1000 for stamp in stamps]
    np.testing.assert_array_equal(read_frame(path, 2**33), frames[-1].image())


def test_the_first_time_stamp_may_be_negative(tmp_path):
    options = {"avoid_negative_ts": "disabled"}
    path = write_video(tmp_path / "v.ts", stamps=range(-10, 30), container_options=options)
    frames = list(read_frames(path))
    # MPEG's own clock, and FFmpeg's writer starts 0.08 s later for two B-frames in a row
    assert frames[0].pts < 0 and frames[1].pts - frames[0].pts == 3600
    assert (numbers(frames), frames[-1].offset) == (list(range(40)), 39 / 25)
    for frame in frames[:2]:
        again = read_frame(path, frame.pts, frame.checksum())
        np.testing.assert_array_equal(again, frame.image())


def test_recordings_that_were_joined(tmp_path):
    """The time stamps start again, and the size changes; times go on."""
    parts = [
        write_video(tmp_path / "a.ts", stamps=range(30)),
        write_video(tmp_path / "b.ts", stamps=range(35), size=(192, 128)),
    ]
    path = tmp_path / "joined.ts"
    path.write_bytes(b"".join(Path(part).read_bytes() for part in (parts[0], *parts)))
    frames = list(read_frames(str(path)))
    assert numbers(frames) == [*range(30), *range(30), *range(35)]
    np.testing.assert_allclose([f.offset for f in frames], np.arange(95) / 25, atol=1e-9)
    assert {f.image().shape for f in frames[:60]} == {(64, 96, 3)}
    assert {f.image().shape for f in frames[60:]} == {(128, 192, 3)}
    assert len({f.pts for f in frames}) == 95
    for frame in frames[::13]:
        again = read_frame(str(path), frame.pts, frame.checksum())
        np.testing.assert_array_equal(again, frame.image())
        np.testing.assert_array_equal(read_frame(str(path), frame.pts), frame.image())


JOINED_UNREAD = ["v.mp4", "fast.mp4", "fragments.mp4", "v.mov", "v.3gp", "v.flv", "v.wmv"]
JOINED_READ = ["v.mkv", "v.avi", "v.mpg", "v.h264", "v.ts"]


@pytest.mark.parametrize("name", JOINED_UNREAD + JOINED_READ)
def test_recordings_that_were_joined_by_cat(tmp_path, name):
    """FFmpeg reads the first one of some containers only: that is told, and none of its frames
    is of the second one."""
    arguments = {**KINDS, "fast.mp4": {"container_options": FAST_START}}[name]
    path = tmp_path / name
    parts = []
    for count in (30, 40):
        parts.append(Path(make(path, stamps=range(count), **arguments)).read_bytes())
    path.write_bytes(b"".join(parts))
    if name in JOINED_READ:
        assert numbers(read_frames(str(path))) == [*range(30), *range(40)]
        return
    found, error = read_damaged(str(path))
    assert found == list(range(30))
    assert f"{name} holds another recording behind the first one, which can't be read" in error
    assert "ffmpeg's concat demuxer" in error


def test_a_header_that_is_saved_twice_is_no_other_recording(tmp_path):
    path = Path(write_video(tmp_path / "v.mp4"))
    content = path.read_bytes()
    path.write_bytes(content + content[content.index(b"moov") - 4 :])
    assert numbers(read_frames(str(path))) == list(range(40))


def stamped(stored, field="pts", flags=0, rate=25, format_name="mpegts"):
    """The names of frames with these time stamps, of 1/1000 s."""
    container = SimpleNamespace(format=SimpleNamespace(name=format_name, flags=flags))
    stream = SimpleNamespace(average_rate=rate, guessed_rate=None, time_base=Fraction(1, 1000))
    stamps = videos._TimeStamps(container, stream)
    return [stamps.next(SimpleNamespace(**{field: stamp})) for stamp in stored]


def test_time_stamps_that_do_not_increase():
    """By hand, at 25 frames a second: 40 ticks a frame."""
    assert stamped([-80, -40, 0, 40]) == [-80, -40, 0, 40]
    assert stamped([0, 40, 40, 40, 80]) == [0, 40, 41, 42, 80]  # doubled
    assert stamped([0, 80, 40, 120]) == [0, 80, 81, 120]  # a little back
    assert stamped([5000, 5040, 0, 40, 90]) == [5000, 5040, 5080, 5120, 5170]  # joined
    assert stamped([None, None, 200, None]) == [0, 40, 200, 240]
    assert stamped([0, 40, None, 120]) == [0, 40, 80, 120]
    assert stamped([None, None], rate=None) == [0, 40]  # 25 where no rate is known
    assert stamped([3, 4, 5, None], field="dts", format_name="avi") == [3, 4, 5, 45]
    raw = av.format.Flags.no_timestamps.value
    assert stamped([7, 7, None], flags=raw, rate=Fraction(50)) == [0, 20, 40]


@pytest.mark.parametrize(
    ("matrix", "upright"),
    [
        ((0, 1, -1, 0), lambda image: np.rot90(image, -1)),  # a phone held upright: clockwise
        ((-1, 0, 0, -1), lambda image: np.rot90(image, 2)),
        ((0, -1, 1, 0), lambda image: np.rot90(image, 1)),
        ((-1, 0, 0, 1), lambda image: image[:, ::-1]),  # mirrored
        ((1, 0, 0, -1), lambda image: image[::-1]),
        ((0, 1, 1, 0), lambda image: image.transpose(1, 0, 2)),
    ],
)
def test_the_display_matrix_is_applied(tmp_path, matrix, upright):
    path = write_video(tmp_path / "v.mp4", stamps=range(3))
    stored = next(read_frames(path)).image()
    assert stored.shape == (SIZE[1], SIZE[0], 3)
    turn(path, *matrix)
    frame = list(read_frames(path))[0]
    np.testing.assert_array_equal(frame.image(), upright(stored))
    np.testing.assert_array_equal(read_frame(path, frame.pts, frame.checksum()), upright(stored))


@pytest.mark.parametrize(
    ("codec", "pixels", "size"),
    [
        ("libx264", "yuv420p10le", SIZE),
        ("ffv1", "yuv444p16le", SIZE),
        ("ffv1", "yuv420p", (97, 65)),
        ("ffv1", "gray", (97, 65)),
        ("ffv1", "bgra", SIZE),
        ("mjpeg", "yuvj420p", SIZE),  # full range
    ],
)
def test_pixels_of_any_depth_and_range(tmp_path, codec, pixels, size):
    path = write_video(tmp_path / "v.mkv", codec, range(3), pixels=pixels, size=size)
    frame = list(read_frames(path))[2]
    image, expected = frame.image(), numbered_frame(2, size)
    assert (image.shape, image.dtype) == (expected.shape, np.uint8)
    assert number_in(image) == 2
    half = size[1] // 2
    bars = np.abs(image[: half - 2].astype(int) - expected[: half - 2])
    assert np.median(bars) <= 2 and bars.mean() < 8  # 0 and 255, but at their borders
    np.testing.assert_array_equal(read_frame(path, frame.pts, frame.checksum()), image)


def to_yuv(image, red, blue, is_full_range):
    """(3, H, W) by ITU-R BT.601 or BT.709, whose weights of red and blue are given."""
    r, g, b = image.transpose(2, 0, 1) / 255.0
    y = red * r + (1 - red - blue) * g + blue * b
    chroma = np.stack([(b - y) / (2 - 2 * blue), (r - y) / (2 - 2 * red)])
    if is_full_range:
        return np.concatenate([255 * y[None], 128 + 255 * chroma]).clip(0, 255)
    return np.concatenate([16 + 219 * y[None], 128 + 224 * chroma])


@pytest.mark.parametrize("is_full_range", [False, True])
@pytest.mark.parametrize(("matrix", "red", "blue"), [(5, 0.299, 0.114), (1, 0.2126, 0.0722)])
def test_colours(tmp_path, matrix, red, blue, is_full_range):
    """Whatever matrix and range the file names."""
    colours = np.uint8([[200, 30, 40], [20, 220, 60], [30, 40, 210]])
    image = np.repeat(np.repeat(colours[None], 64, 0), 32, 1)
    path = str(tmp_path / "v.mkv")
    with av.open(path, "w") as output:
        stream = output.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv444p"
        context = stream.codec_context
        context.colorspace, context.color_range = matrix, 2 if is_full_range else 1
        planes = to_yuv(image, red, blue, is_full_range).round().astype(np.uint8)
        frame = av.VideoFrame.from_ndarray(planes, format="yuv444p")
        frame.colorspace, frame.color_range = context.colorspace, context.color_range
        output.mux(stream.encode(frame))
        output.mux(stream.encode())
    found = next(read_frames(path)).image()
    assert np.abs(found.astype(int) - image).max() <= 4


def test_a_frame_that_is_not_there_or_another(tmp_path):
    path = write_video(tmp_path / "v.mp4")
    frames = list(read_frames(path))
    frame = frames[12]
    for pts, checksum in (
        (frame.pts + 1, None),
        (frame.pts + 1, frame.checksum()),
        (frame.pts, frames[13].checksum()),
        (-(2**62), frame.checksum()),
        (2**62, frame.checksum()),
        (2**80, None),
    ):
        with pytest.raises(UserError, match=rf"v.mp4 has no frame {pts} .*was the file changed"):
            read_frame(path, pts, checksum)
    write_video(path, options={"x264-params": "crf=40"})
    with pytest.raises(UserError, match="was the file changed"):
        read_frame(path, frame.pts, frame.checksum())


def read_damaged(path):
    """Numbers of the frames before the fault, and its text."""
    found = []
    with pytest.raises(UserError) as error:
        found.extend(number_in(frame.image()) for frame in read_frames(path))
    # list.extend keeps what came before an exception
    return found, str(error.value)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("v.mp4", {"container_options": FAST_START, "options": CLOSED}),
        ("v.mkv", {"options": CLOSED}),
        ("v.webm", {"codec": "libvpx"}),
        ("v.flv", {"options": CLOSED}),
        ("jpeg.avi", {"codec": "mjpeg", "pixels": "yuvj420p"}),
    ],
)
def test_a_video_that_was_cut_short(tmp_path, name, arguments):
    path = write_video(tmp_path / name, **arguments)
    cut(path, 0.6)
    found, error = read_damaged(path)
    assert 15 <= len(found) < 32 and found[:15] == list(range(15))
    assert "is damaged" in error or "s that it should have" in error
    for frame, number in zip(read_frames(path), range(3)):
        again = read_frame(path, frame.pts, frame.checksum())
        assert number_in(again) == number


@pytest.mark.parametrize("name", ["v.mp4", "v.ts", "v.mkv", "v.flv"])
def test_damage_in_the_middle(tmp_path, name):
    """Behind it reading goes on; frames are the same each time."""
    stamps = range(60)
    path = write_video(tmp_path / name, stamps=stamps)
    damage(path, 0.40, 0.45)
    found, error = read_damaged(path)
    assert found[:10] == list(range(10)) and found[-10:] == list(range(50, 60))
    assert 40 <= len(found) < 60
    assert f"{name} is damaged (" in error and "restore the file" in error
    frames = []
    with pytest.raises(UserError):
        frames.extend((f.pts, f.checksum(), f.image()) for f in read_frames(path))
    for pts, checksum, image in frames[::5]:
        np.testing.assert_array_equal(read_frame(path, pts, checksum), image)


def test_frames_are_not_counted_behind_damage(tmp_path):
    path = write_video(tmp_path / "v.mp4", stamps=range(60))
    damage(path, 0.40, 0.45)
    found = []
    with pytest.raises(UserError, match="so that its frames can't be counted"):
        found.extend(number_in(frame.image()) for frame in read_frames(path, strict=True))
    assert found == list(range(len(found))) and 10 <= len(found) < 40


def test_a_transport_stream_that_starts_amid_a_group_of_pictures(tmp_path):
    """What can't be decoded before its first key frame is no damage."""
    path = Path(write_video(tmp_path / "v.ts", options=OPEN))
    packets = path.read_bytes()
    path.write_bytes(packets[len(packets) * 2 // 5 // 188 * 188 :])
    found = numbers(read_frames(str(path)))
    assert found == list(range(found[0], 40)) and 0 < found[0] <= 24


def test_videos_that_can_not_be_read(tmp_path):
    (tmp_path / "text.mp4").write_text("no video")
    unfinished = write_video(tmp_path / "unfinished.mp4")
    content = Path(unfinished).read_bytes()
    Path(unfinished).write_bytes(content[: content.index(b"moov") - 4])
    for name in ("text.mp4", "unfinished.mp4", "missing.mp4"):
        with pytest.raises(UserError, match=rf"{name} can't be opened \(.*not written to its end"):
            next(read_frames(str(tmp_path / name)))
    with av.open(str(tmp_path / "sound.mp4"), "w") as output:
        stream = output.add_stream("aac", rate=8000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        sound.sample_rate = 8000
        output.mux(stream.encode(sound))
        output.mux(stream.encode())
    with pytest.raises(UserError, match="sound.mp4 holds no video, but audio only"):
        next(read_frames(str(tmp_path / "sound.mp4")))
    unknown = Path(write_video(tmp_path / "unknown.mp4"))
    unknown.write_bytes(unknown.read_bytes().replace(b"avc1", b"zzzz"))
    with pytest.raises(UserError, match=r"unknown.mp4: codec .*zzzz.* has no decoder here"):
        next(read_frames(str(unknown)))


def test_a_preview_beside_the_recording(tmp_path):
    """The larger pictures are read, wherever they are, and what is not read is told."""
    preview = write_video(tmp_path / "preview.mp4", stamps=range(0, 80, 2), size=(48, 32))
    recording = write_video(tmp_path / "recording.mp4", stamps=range(30))
    for name, parts, number in (("1.mp4", (preview, recording), 2), ("2.mkv", (recording,) * 2, 1)):
        path = join_streams(tmp_path / name, *parts)
        frames = list(read_frames(path))
        assert numbers(frames) == list(range(30))
        image = read_frame(path, frames[20].pts, frames[20].checksum())
        assert image.shape == (64, 96, 3) and number_in(image) == 20
        told = f"holds 2 video streams, of which only number {number} is read (96 x 64)"
        assert left_out(path) == told
    assert left_out(recording) == ""


def test_a_cover_is_no_video():
    class Streams(list):
        video = property(lambda self: [stream for stream in self if stream.type == "video"])

    cover = SimpleNamespace(type="video", disposition=av.stream.Disposition.attached_pic)
    container = SimpleNamespace(streams=Streams([SimpleNamespace(type="audio"), cover]))
    with pytest.raises(UserError, match="song.mp4 holds no video, but audio and cover only"):
        video_decoding._video_stream(container, "song.mp4")


def test_names_that_are_no_text_and_look_like_addresses(tmp_path, monkeypatch):
    path = write_video(tmp_path / "v.mp4", stamps=range(3))
    monkeypatch.chdir(tmp_path)
    for name in (b"caf\xe9.mp4", b"a:b.mp4", b"%03d.mp4"):
        shutil.copy(path, name)
        assert len(list(read_frames(os.fsdecode(name)))) == 3


def test_what_a_file_says_of_its_length(tmp_path):
    for name in ("v.mp4", "v.mkv", "v.ts"):
        path = write_video(tmp_path / name)
        assert count_frames(path) == 40 and count_frames(path, 5) == 8
    assert count_frames(write_video(tmp_path / "v.h264", format="h264")) == 0

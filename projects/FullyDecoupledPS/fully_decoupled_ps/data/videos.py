"""Videos, read with PyAV: frames in the order in which they are shown, each with a name of its own.

A frame's name is its presentation time stamp (pts), a whole number of ticks of its stream's time
base, made to increase strictly: see :class:`_TimeStamps`. Frames are given as they are stored:
interlaced ones with both fields, each in its own size if that changes, turned as the display
matrix says, and in 8-bit RGB whatever their depth and range. One thread decodes, so that damaged
videos give the same pictures each time.
"""

import math
import re
import zlib
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import NamedTuple

import av
import numpy as np
from av.sidedata.sidedata import Type as SideDataType
from av.video.reformatter import ColorRange, Colorspace

from ..errors import UserError
from .video_decoding import DEFAULT_FRAME_RATE, Decoding, open_video, video_streams

# Endings of the files that are taken for videos; what is in one is read from its content.
VIDEO_ENDINGS = frozenset(
    (
        *(".mp4", ".avi", ".mkv", ".mov", ".m4v", ".webm", ".mpg", ".mpeg", ".ts", ".wmv"),
        *(".3gp", ".asf", ".dav", ".flv", ".m2ts", ".mjpeg", ".mts", ".ogv", ".vob"),
        *(".264", ".265", ".h264", ".h265", ".hevc"),
    )
)

# A time stamp that lies further back than so many seconds starts a new recording.
MAX_JITTER = 1.0
# Seconds before a frame at which decoding starts; if that does not lead to it, at the next of them.
SEEK_MARGINS = (0, 10, 60)


class VideoFrame(NamedTuple):
    """A frame of a video."""

    pts: int
    offset: float  # seconds after the first one
    decoded: av.VideoFrame

    def image(self) -> np.ndarray:
        """(H, W, 3) RGB uint8, turned and mirrored as the frame's display matrix says."""
        frame = self.decoded
        # all said, since versions of PyAV differ in what they take for granted
        image = frame.reformat(
            format="rgb24",
            src_colorspace=frame.colorspace,
            # without a meaning in RGB; if it is the same, PyAV 14 to 16 take no notice of the range
            dst_colorspace=Colorspace.SMPTE240M,
            src_color_range=frame.color_range,
            dst_color_range=ColorRange.JPEG,
        ).to_ndarray()
        matrix = frame.side_data.get(SideDataType.DISPLAYMATRIX)
        if matrix is not None:
            a, b, _, c, d = np.frombuffer(bytes(matrix), dtype=np.int32)[:5].astype(np.int64)
            if abs(a) + abs(d) < abs(b) + abs(c):
                image, a, d = image.transpose(1, 0, 2), c, b
            image = image[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]
        return np.ascontiguousarray(image)

    def checksum(self) -> int:
        """CRC-32 of the decoded planes: decoders agree on them where conversions to RGB may not."""
        frame = self.decoded
        checksum = zlib.crc32(f"{frame.format.name} {frame.width} {frame.height}".encode())
        components = frame.format.components
        if frame.format.has_palette or any(part.bits < 8 for part in components):
            return zlib.crc32(frame.to_ndarray(format="rgb24"), checksum)
        for index, plane in enumerate(frame.planes):
            parts = [part for part in components if part.plane == index]
            width = sum(part.width * ((part.bits + 7) // 8) for part in parts)
            lines = np.frombuffer(plane, dtype=np.uint8).reshape(-1, plane.line_size)
            height = max((part.height for part in parts), default=0)
            checksum = zlib.crc32(np.ascontiguousarray(lines[:height, :width]), checksum)
        return checksum


def read_frames(path: str, strict: bool = False) -> Iterator[VideoFrame]:
    """All frames of a video, but for damaged ones.

    Args:
        path: of the file.
        strict: raise at the first damage, behind which frames can't be counted any more.

    Raises:
        UserError: at once, if the file can't be opened or has no video; behind the last frame, if
            some are damaged or missing.
    """
    with open_video(path) as (container, stream, log):
        decoding = Decoding(container, stream, log)
        stamps = _TimeStamps(container, stream)
        first = None
        for count, frame in enumerate(decoding.frames()):
            if strict and decoding.reason:
                raise UserError(
                    f"video {path} is damaged behind its frame {count} "
                    f"({decoding.reason}), so that its frames can't be counted; restore the file"
                )
            pts = stamps.next(frame)
            first = pts if first is None else first
            yield VideoFrame(pts, float((pts - first) * stream.time_base), frame)
        fault, is_joined = decoding.fault(), decoding.is_joined
    if is_joined:
        raise UserError(
            f"video {path} {fault and f'{fault} and '}holds another recording behind the first "
            "one, which can't be read; split it, or join the recordings with ffmpeg's concat "
            "demuxer"
        )
    if fault:
        raise UserError(
            f"video {path} {fault}; restore the file, or run the same command again when it has "
            "been written to its end"
        )


def read_frame(path: str, pts: int, checksum: int | None = None) -> np.ndarray:
    """A frame of a video, (H, W, 3) RGB uint8.

    Args:
        path: of the file.
        pts: of the frame.
        checksum: of the frame, which lets it be looked for near its place; without it the video
            is decoded from its start, since time stamps alone may be those of another frame.

    Raises:
        UserError: if the file has no such frame.
    """
    if checksum is not None:
        for margin in SEEK_MARGINS:
            image = _seek(path, pts, checksum, margin)
            if image is not None:
                return image
    for frame in read_frames(path):
        if frame.pts == pts and checksum in (None, frame.checksum()):
            return frame.image()
        if frame.pts >= pts:
            break
    raise UserError(
        f"video {path} has no frame {pts} that is as it was; was the file changed? Index it again"
    )


def count_frames(path: str, fps: float = math.inf) -> int:
    """About how many frames there are, ``fps`` of them a second: by what the file says of itself.

    Raises:
        UserError: if the file can't be opened or has no video.
    """
    with open_video(path) as (container, stream, _):
        rate = min(float(stream.average_rate or DEFAULT_FRAME_RATE), fps)
        return round(_duration(container, stream) * rate)


def _duration(container, stream) -> float:
    """Seconds, by what the file says of itself; 0 if it says nothing."""
    if stream.duration:
        return float(stream.duration * stream.time_base)
    return (container.duration or 0) / av.time_base


class RecordingClock(NamedTuple):
    """What a file says of when it was recorded."""

    start: datetime | None  # with its zone
    created: datetime | None  # of the zone UTC, by the standard; of its start, or of its end
    is_created_at_end: bool
    duration: float  # seconds; 0: not known


def read_clock(path: str) -> RecordingClock:
    """
    Raises:
        UserError: if the file can't be opened or has no video.
    """
    with open_video(path) as (container, stream, _):
        tags = {**stream.metadata, **container.metadata}
        tags = {key.lower(): value for key, value in tags.items()}
        created = _parse_date(tags.get("creation_time", ""))
        if created is not None and created.tzinfo is None:
            created = created.replace(tzinfo=timezone.utc)
        start = _parse_date(tags.get("com.apple.quicktime.creationdate", ""))
        return RecordingClock(
            start if start is not None and start.tzinfo else None,
            created,
            any(key.startswith("com.android.") for key in tags),  # its writer ends with the header
            _duration(container, stream),
        )


def _parse_date(text: str) -> datetime | None:
    text = re.sub(r"[Zz]$", "+0000", text.strip())
    for form in ("%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S"):
        for rest in ("%z", ".%f%z", "", ".%f"):
            try:
                return datetime.strptime(text, form + rest)
            except ValueError:
                pass
    return None


def left_out(path: str) -> str:
    """What of a file is not read, though it is video; "" if nothing is.

    Raises:
        UserError: if the file can't be opened or has no video.
    """
    with open_video(path) as (container, stream, _):
        streams = video_streams(container)
        if len(streams) == 1:
            return ""
        width, height = stream.codec_context.width, stream.codec_context.height
        return (
            f"holds {len(streams)} video streams, of which only number "
            f"{streams.index(stream) + 1} is read ({width} x {height})"
        )


def _seek(path: str, pts: int, checksum: int, margin: float) -> np.ndarray | None:
    """The frame, if decoding from ``margin`` seconds before it leads to it."""
    with open_video(path) as (container, stream, _):
        stamps = _TimeStamps(container, stream)
        if not stamps.are_stored:
            return None
        ticks = int(1 / stream.time_base)
        try:
            container.seek(pts - int(margin * ticks), stream=stream)
        except (av.FFmpegError, OverflowError):
            return None
        for frame in Decoding(container, stream).frames():
            stamp, found = stamps.stored(frame), VideoFrame(pts, math.nan, frame)
            if stamp == pts and found.checksum() == checksum:
                return found.image()
            if stamp is not None and stamp > pts + ticks:
                return None
    return None


class _TimeStamps:
    """Names frames: a frame's time stamp, which is made to increase strictly.

    A stamp that is no later than the one before it becomes the next tick. If it lies back by more
    than ``MAX_JITTER``, as where recordings were joined, it and all behind it are moved on, to one
    frame after the one before. A missing stamp is one frame after the one before, 0 for the first;
    so are all of raw streams, which have none. AVI has those of decoding only.
    """

    def __init__(self, container, stream):
        self.are_stored = "no_timestamps" not in _flag_names(container.format)
        self.field = "dts" if container.format.name == "avi" else "pts"
        rates = [stream.average_rate, stream.guessed_rate]
        if not self.are_stored:  # there the first one is 25 whatever the stream names
            rates.reverse()
        rate = next(filter(None, rates), DEFAULT_FRAME_RATE)
        self.step = max(round(1 / (rate * stream.time_base)), 1)
        self.jitter = MAX_JITTER / stream.time_base
        self.last: int | None = None
        self.shift = 0

    def stored(self, frame: av.VideoFrame) -> int | None:
        """What the file says."""
        return getattr(frame, self.field) if self.are_stored else None

    def next(self, frame: av.VideoFrame) -> int:
        """The name of the next frame of the video."""
        stored = self.stored(frame)
        if self.last is None:
            self.last = 0 if stored is None else stored
            return self.last
        after = self.last + self.step
        if stored is None:
            self.last = after
        elif stored + self.shift > self.last:
            self.last = stored + self.shift
        elif self.last - (stored + self.shift) > self.jitter:
            self.shift = after - stored
            self.last = after
        else:
            self.last += 1
        return self.last


def _flag_names(format) -> set[str]:
    return {flag.name for flag in av.format.Flags if format.flags & flag.value}

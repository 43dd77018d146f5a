"""Videos, read with PyAV: frames in the order in which they are shown, each with a name of its own.

A frame's name is its presentation time stamp (pts), a whole number of ticks of its stream's time
base, made to increase strictly: see :class:`_TimeStamps`. Frames are given as they are stored:
interlaced ones with both fields, each in its own size if that changes, turned as the display
matrix says, and in 8-bit RGB whatever their depth and range. One thread decodes, so that damaged
videos give the same pictures each time.
"""

import logging
import os
import re
import zlib
from contextlib import contextmanager
from typing import Iterator, NamedTuple

import av
import numpy as np
from av.sidedata.sidedata import Type as SideDataType

from ..errors import UserError

# FFmpeg's messages of errors, for _Decoding; they are not for the console.
av.logging.set_level(av.logging.ERROR)
logging.getLogger("libav").setLevel(logging.CRITICAL + 1)

# For videos that do not say their frame rate.
DEFAULT_FRAME_RATE = 25
# A time stamp that lies further back than so many seconds starts a new recording.
MAX_JITTER = 1.0
# Seconds before a frame at which decoding starts; if that does not lead to it, at the next of them.
SEEK_MARGINS = (0, 10, 60)
# Formats whose header says how long they are; of others FFmpeg guesses.
WITH_DURATION = {"mov", "matroska", "avi", "flv", "asf"}


class VideoFrame(NamedTuple):
    """A frame of a video."""

    pts: int
    offset: float  # seconds after the first one
    decoded: av.VideoFrame

    def image(self) -> np.ndarray:
        """(H, W, 3) RGB uint8, upright."""
        return _to_rgb(self.decoded)

    def checksum(self) -> int:
        """32 bits that stand for what was decoded, before the conversion to RGB."""
        return _checksum(self.decoded)


def read_frames(path: str, strict: bool = False) -> Iterator[VideoFrame]:
    """All frames of a video, but for damaged ones.

    Args:
        path: of the file.
        strict: raise at the first damage, behind which frames can't be counted any more.

    Raises:
        UserError: at once, if the file can't be opened or has no video; behind the last frame, if
            some are damaged or missing.
    """
    with _open(path) as (container, stream):
        decoding = _Decoding(container, stream)
        stamps = _TimeStamps(container, stream)
        first = None
        for frame in decoding.frames():
            if strict and decoding.reason:
                raise UserError(
                    f"video {path} is damaged behind its frame {decoding.num_frames - 1} "
                    f"({decoding.reason}), so that its frames can't be counted; restore the file"
                )
            pts = stamps.next(frame)
            first = pts if first is None else first
            yield VideoFrame(pts, float((pts - first) * stream.time_base), frame)
        fault = decoding.fault()
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


def announced_duration(path: str) -> float | None:
    """Seconds of video by what the file says of itself, or by FFmpeg's guess; None for neither.

    Raises:
        UserError: if the file can't be opened or has no video.
    """
    with _open(path) as (container, stream):
        if stream.duration:
            return float(stream.duration * stream.time_base)
        return container.duration / av.time_base if container.duration else None


def _seek(path: str, pts: int, checksum: int, margin: float) -> np.ndarray | None:
    """The frame, if it is met when decoding starts ``margin`` seconds before it."""
    with _open(path) as (container, stream):
        stamps = _TimeStamps(container, stream)
        if not stamps.are_stored:
            return None
        ticks = int(1 / stream.time_base)
        try:
            container.seek(pts - int(margin * ticks), stream=stream)
        except (av.FFmpegError, OverflowError):
            return None
        for frame in _Decoding(container, stream).frames():
            stamp = stamps.stored(frame)
            if stamp == pts and _checksum(frame) == checksum:
                return _to_rgb(frame)
            if stamp is not None and stamp > pts + ticks:
                return None
    return None


@contextmanager
def _open(path: str):
    """The container and its first video stream, ready to decode."""
    try:
        container = av.open(os.path.abspath(path))  # absolute: "a:b.mp4" would be a protocol
    except (av.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(
            f"video {path} can't be opened ({reason}); it is damaged, or was not written to its "
            "end: restore the file, or convert it to MP4"
        ) from error
    with container:
        yield container, _video_stream(container, path)


def _video_stream(container, path: str):
    attached = av.stream.Disposition.attached_pic  # the cover of a piece of music
    streams = [s for s in container.streams.video if not s.disposition & attached]
    if not streams:
        kinds = " and ".join(sorted({s.type for s in container.streams})) or "no stream"
        raise UserError(f"video {path} holds no video, but {kinds} only; leave it out")
    with_decoder = [s for s in streams if s.codec_context is not None]
    if not with_decoder:
        raise UserError(
            f"video {path}: codec {_codec_name(container, streams[0])} has no decoder here; "
            "convert it to H.264 in MP4"
        )
    context = with_decoder[0].codec_context
    context.thread_type, context.thread_count = "NONE", 1
    context.flags |= av.codec.context.Flags.bitexact  # the same on every processor
    return with_decoder[0]


def _codec_name(container, stream) -> str:
    """Of a stream without a decoder, of which PyAV tells nothing but by FFmpeg's own listing."""
    level = av.logging.get_level()
    av.logging.set_level(av.logging.INFO)
    try:
        listing = container.dumps_format()
    finally:
        av.logging.set_level(level)
    match = re.search(rf"Stream #0:{stream.index}\b.*?: Video: ([^,\n]+)", listing)
    return match[1].strip() if match else "unknown"


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
        rate = stream.average_rate or stream.guessed_rate or DEFAULT_FRAME_RATE
        self.step = max(round(1 / (rate * stream.time_base)), 1)
        self.jitter = MAX_JITTER / stream.time_base
        self.last: int | None = None
        self.shift = 0

    def stored(self, frame: av.VideoFrame) -> int | None:
        """What the file says."""
        return getattr(frame, self.field) if self.are_stored else None

    def next(self, frame: av.VideoFrame) -> int:
        """Of the next frame of the video."""
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


class _Decoding:
    """Decodes from where a container stands; notes what is damaged, and where it ends."""

    def __init__(self, container, stream):
        self.container = container
        self.stream = stream
        self.num_damaged = 0  # packets or frames, behind the first good frame
        self.reason = ""  # of the last damage
        self.num_frames = 0
        self._times: dict[int, list[float]] = {}  # stream -> first and last second

    def frames(self) -> Iterator[av.VideoFrame]:
        """Frames in the order in which they are shown, without damaged ones."""
        for packet in self._packets():
            if packet.stream.index != self.stream.index:
                continue
            # in a transport stream that is only where recordings were joined, or a few bytes are lost
            if packet.is_corrupt and self.container.format.name != "mpegts":
                self._note_damage("a packet is cut short")
                continue
            try:
                frames = packet.decode()
            except (av.FFmpegError, ValueError) as error:
                self._note_damage(str(getattr(error, "strerror", None) or error))
                continue
            for frame in frames:
                if frame.is_corrupt:
                    self._note_damage("pictures have holes")
                    continue
                self.num_frames += 1
                yield frame

    def _packets(self):
        """Of all streams. Reading goes on behind an error, unless it comes again at once."""
        failed = False
        packets = self.container.demux()
        while True:
            try:
                with av.logging.Capture() as log:
                    packet = next(packets, None)
            except (av.FFmpegError, OSError) as error:
                self._note_damage(str(getattr(error, "strerror", None) or error))
                if failed:
                    return
                failed, packets = True, self.container.demux()
                continue
            if log and self.container.format.name.startswith("matroska"):
                # passed over, without any error but a line in FFmpeg's log
                self._note_damage(log[-1][2].strip())
            if packet is None:
                return
            failed = False
            self._note_time(packet)
            yield packet

    def _note_damage(self, reason: str) -> None:
        self.reason = reason
        # a recording may start in the midst of a group of pictures
        self.num_damaged += self.num_frames > 0

    def _note_time(self, packet) -> None:
        stamp = packet.dts if packet.pts is None else packet.pts
        if stamp is None or packet.time_base is None:
            return
        start = float(stamp * packet.time_base)
        end = float((stamp + (packet.duration or 0)) * packet.time_base)
        times = self._times.setdefault(packet.stream.index, [start, end])
        times[0], times[1] = min(times[0], start), max(times[1], end)

    def fault(self) -> str:
        """What is damaged or missing; "" if nothing is."""
        if not self.num_frames:
            return f"has no frame that can be decoded{self.reason and f' ({self.reason})'}"
        faults = []
        if self.num_damaged:
            faults.append(f"is damaged ({self.num_damaged} times, the last: {self.reason})")
        read, announced = self._read_and_announced()
        if read < announced:
            faults.append(f"ends after {read:.1f} s of the {announced:.1f} s that it should have")
        return " and ".join(faults)

    def _read_and_announced(self) -> tuple[float, float]:
        """Seconds; the second is 0 if none are announced, or about as many as were read."""
        container, stream = self.container, self.stream
        frame = 1 / float(stream.average_rate or DEFAULT_FRAME_RATE)
        if container.format.name.split(",")[0] not in WITH_DURATION:
            return 0.0, 0.0
        if stream.duration:
            announced = float(stream.duration * stream.time_base)
            times, tolerance = [self._times.get(stream.index)], 1.5 * frame
        else:  # of the longest stream
            announced = (container.duration or 0) / av.time_base
            times, tolerance = list(self._times.values()), max(1.5 * frame, 0.5)
        # some formats count from 0, others from the first frame
        read = max((max(end, end - start) for start, end in filter(None, times)), default=0.0)
        return read, announced if announced - read > tolerance else 0.0


def _to_rgb(frame: av.VideoFrame) -> np.ndarray:
    """(H, W, 3) RGB uint8, turned and mirrored as the frame's display matrix says."""
    image = frame.to_ndarray(format="rgb24")
    matrix = frame.side_data.get(SideDataType.DISPLAYMATRIX)
    if matrix is not None:
        a, b, _, c, d = np.frombuffer(bytes(matrix), dtype=np.int32)[:5].astype(np.int64)
        if abs(a) + abs(d) < abs(b) + abs(c):
            image, a, d = image.transpose(1, 0, 2), c, b
        image = image[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]
    return np.ascontiguousarray(image)


def _checksum(frame: av.VideoFrame) -> int:
    """CRC-32 of the decoded planes: decoders agree to the bit where conversions to RGB may not."""
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

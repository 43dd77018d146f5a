"""Opening and decoding video files with PyAV; noting what of them is damaged or missing."""

import logging
import os
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager

import av

from ..errors import UserError

# FFmpeg's messages of errors, for Decoding; they are not for the console.
av.logging.set_level(av.logging.ERROR)
av.logging.set_skip_repeated(False)
logging.getLogger("libav").setLevel(logging.CRITICAL + 1)

# For videos that do not say their frame rate.
DEFAULT_FRAME_RATE = 25
# Formats whose header says how long they are; of others FFmpeg guesses.
WITH_DURATION = {"mov", "matroska", "avi", "flv", "asf"}
# Formats that go on behind damage without an error.
PASSING_OVER = {"matroska,webm", "flv"}
# How a recording begins in formats of which FFmpeg reads only the first of several, joined by
# ``cat``; of MOV and MP4 see _is_joined_mov.
HEADERS = {
    "flv": re.compile(rb"FLV\x01[\x00-\x05]\x00\x00\x00\x09"),
    "asf": re.compile(re.escape(bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c"))),
}
BLOCK = 1 << 20
# Packets behind a corrupt one in which a gap is of the same damage.
NUM_SUSPECT = 5
# Frames that can be stored before one that is shown before them, in all codecs.
MAX_REORDERING = 16


@contextmanager
def open_video(path: str):
    """The container, the video stream that is read, ready to decode, and what FFmpeg logged."""
    if os.path.exists(path) and not os.path.isfile(path):  # opening a pipe would wait for ever
        raise UserError(f"video {path} is a folder, a pipe or a device; name a video file")
    try:
        with av.logging.Capture() as log:  # opening reads the first seconds
            container = av.open(os.path.abspath(path))  # absolute: "a:b.mp4" would be a protocol
    except (av.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(
            f"video {path} can't be opened ({reason}); it is damaged, or was not written to its "
            "end: restore the file, or convert it to MP4"
        ) from error
    with container:
        yield container, _video_stream(container, path), log


def _video_stream(container, path: str):
    streams = video_streams(container)
    if not streams:
        kinds = {"cover" if s.type == "video" else s.type for s in container.streams}
        kinds = " and ".join(sorted(kinds)) or "no stream"
        raise UserError(f"video {path} holds no video, but {kinds} only; leave it out")
    with_decoder = [s for s in streams if s.codec_context is not None]
    if not with_decoder:
        raise UserError(
            f"video {path}: codec {_codec_name(container, streams[0])} has no decoder here; "
            "convert it to H.264 in MP4"
        )
    # some cameras store a preview beside the recording; of streams of one size the first
    chosen = max(with_decoder, key=lambda s: s.codec_context.width * s.codec_context.height)
    context = chosen.codec_context
    context.thread_type, context.thread_count = "NONE", 1
    context.flags |= av.codec.context.Flags.bitexact  # the same on every processor
    return chosen


def video_streams(container) -> list:
    """The streams of a container that are recordings."""
    attached = av.stream.Disposition.attached_pic  # the cover of a piece of music
    return [s for s in container.streams.video if not s.disposition & attached]


def _codec_name(container, stream) -> str:
    """The codec of a stream without a decoder, which PyAV tells only in FFmpeg's own listing."""
    level = av.logging.get_level()
    av.logging.set_level(av.logging.INFO)
    try:
        listing = container.dumps_format()
    finally:
        av.logging.set_level(level)
    match = re.search(rf"Stream #0:{stream.index}\b.*?: Video: ([^,\n]+)", listing)
    return match[1].strip() if match else "unknown"


class Decoding:
    """Decodes from where a container stands; notes what is damaged, and where it ends."""

    def __init__(self, container, stream, log=()):
        self.container = container
        self.stream = stream
        self.num_damaged = 0  # packets or frames, behind the first good frame
        self.reason = ""  # of the last damage
        self.num_frames = 0
        self._times: dict[int, list[float]] = {}  # stream -> first and last second
        self._last_dts: int | None = None  # of the video
        self._num_faults = 0
        self._num_suspect = 0  # packets to come in which a gap is damage
        self._kind = container.format.name.split(",")[0]
        self._is_joined_mov = self._kind == "mov" and _is_joined_mov(container.name)
        # where another recording's packets would be taken for its own
        self._is_behind_first = False
        self._end = 0  # of the packets that were read, in bytes
        self._note_log(log)

    def frames(self) -> Iterator[av.VideoFrame]:
        """Frames in the order in which they are shown, without damaged ones.

        Nor with those behind damage at the end: where a file was cut, or is still written,
        frames are missing between them that were stored behind them.
        """
        held, is_holding, num_faults = [], False, self._num_faults
        for frame in self._decoded():
            if self._num_faults != num_faults:
                is_holding, num_faults = True, self._num_faults
                yield from held
                held.clear()
            if not is_holding:
                yield frame
                continue
            held.append(frame)
            if len(held) > MAX_REORDERING:
                is_holding = False
                yield from held
                held.clear()

    def _decoded(self) -> Iterator[av.VideoFrame]:
        for packet in self._packets():
            if packet.stream.index != self.stream.index:
                continue
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
        """Packets of all streams. Reading goes on after an error, unless it comes again at once."""
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
            self._note_log(log)
            if packet is None:
                return
            failed = False
            if packet.pos is not None:
                self._end = max(self._end, packet.pos + packet.size)
            if packet.stream.index == self.stream.index:
                if self._is_of_another(packet):
                    continue
                self._note_gap(packet)
            self._note_time(packet)
            yield packet

    def _is_of_another(self, packet) -> bool:
        """Whether another recording, joined to a fragmented MP4, has begun: its times restart."""
        if self._is_joined_mov and packet.dts is not None and self._last_dts is not None:
            self._is_behind_first |= packet.dts <= self._last_dts
            return self._is_behind_first
        return False

    def _note_damage(self, reason: str) -> None:
        self.reason = reason
        self._num_faults += 1
        # a recording may start in the midst of a group of pictures
        self.num_damaged += self.num_frames > 0

    def _note_log(self, log) -> None:
        """Some formats pass over damage with no more than a line in FFmpeg's log."""
        for _, source, message in log:
            if source in PASSING_OVER:
                self.reason = message.strip()
                self._num_faults += 1
                self.num_damaged += 1

    def _note_gap(self, packet) -> None:
        """Missing frames of a transport stream: a gap near a packet that has not the right count.

        No count is right either where recordings were joined, but there time starts again or
        goes on.
        """
        last, self._last_dts = self._last_dts, packet.dts
        self._num_suspect = NUM_SUSPECT if packet.is_corrupt else self._num_suspect - 1
        if self._num_suspect <= 0 or last is None or packet.dts is None:
            return
        frame = 1 / float(self.stream.average_rate or DEFAULT_FRAME_RATE)
        if float((packet.dts - last) * packet.time_base) > 1.5 * frame:
            self._note_damage("frames are missing")

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
        if read < announced and not self._is_joined_mov:
            faults.append(f"ends after {read:.1f} s of the {announced:.1f} s that it should have")
        return " and ".join(faults)

    @property
    def is_joined(self) -> bool:
        """Whether another recording stands behind the one that was read to its end."""
        if self._kind in HEADERS:
            return _holds(self.container.name, HEADERS[self._kind], self._end)
        return self._is_joined_mov

    def _read_and_announced(self) -> tuple[float, float]:
        """Seconds; the second is 0 if none are announced, or about as many as were read."""
        container, stream = self.container, self.stream
        frame = 1 / float(stream.average_rate or DEFAULT_FRAME_RATE)
        if self._kind not in WITH_DURATION:
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


def _is_joined_mov(path: str) -> bool:
    """Whether an MP4 or MOV has two boxes of a kind that comes once, as joined by ``cat``."""
    kinds = []
    with open(path, "rb") as file:
        size, position = os.fstat(file.fileno()).st_size, 0
        while position + 16 <= size:
            file.seek(position)
            length, kind, long_length = struct.unpack(">I4sQ", file.read(16))
            length = long_length if length == 1 else length
            if length < 8:  # 0: to the end
                break
            kinds.append(kind)
            position += length
    # old QuickTime files have no ftyp; a second moov alone may be a copy of the first
    return kinds.count(b"ftyp") > 1 or (b"ftyp" not in kinds and kinds.count(b"moov") > 1)


def _holds(path: str, pattern: re.Pattern, start: int) -> bool:
    """Whether a pattern of at most 16 bytes is in a file from ``start`` on."""
    with open(path, "rb") as file:
        file.seek(start)
        tail = b""
        while block := file.read(BLOCK):
            if pattern.search(tail + block):
                return True
            tail = block[-16:]
    return False

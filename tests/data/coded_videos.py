"""Videos whose frames carry their number, as black and white bars, encoded with PyAV."""

import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

SIZE = (96, 64)
BITS = 12
# B-frames, groups of ten pictures that refer to each other, or not.
CLOSED = {"x264-params": "keyint=10:min-keyint=10:bframes=3:scenecut=0:open-gop=0"}
OPEN = {"x264-params": "keyint=10:min-keyint=10:bframes=3:scenecut=0:open-gop=1"}
REFRESHED = {"x264-params": "keyint=10:intra-refresh=1:bframes=0"}
IDENTITY = struct.pack(">9i", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)


def numbered_frame(number, size=SIZE):
    """(H, W, 3): a bar for each bit of the number above, noise below."""
    width, height = size
    image = np.random.default_rng(number).integers(90, 160, (height, width, 3)).astype(np.uint8)
    for bit in range(BITS):
        start, end = bit * width // BITS, (bit + 1) * width // BITS
        image[: height // 2, start:end] = 255 * (number >> bit & 1)
    return image


def number_in(image):
    """What :func:`numbered_frame` wrote, in a picture of any size."""
    height, width = image.shape[:2]
    bar = width // BITS
    starts = [bit * width // BITS for bit in range(BITS)]
    values = [image[height // 8 : height * 3 // 8, s + bar // 4 : s + bar * 3 // 4] for s in starts]
    return sum(int(value.mean() > 128) << bit for bit, value in enumerate(values))


def write_video(
    path,
    codec="libx264",
    stamps=range(40),
    time_base=Fraction(1, 25),
    options=CLOSED,
    pixels="yuv420p",
    size=SIZE,
    first=0,
    **container,
):
    """Frame n shows ``first`` + n, at ``stamps[n]``, in units of ``time_base``.

    Returns the path, a string. ``container``: ``format`` and ``container_options`` of the file.
    """
    stamps = list(stamps)
    with av.open(str(path), "w", **container) as output:
        stream = output.add_stream(codec, rate=25)
        stream.width, stream.height = size
        stream.pix_fmt = pixels
        stream.options = options if codec == "libx264" else {}
        stream.codec_context.time_base = time_base
        for number, stamp in enumerate(stamps, first):
            frame = av.VideoFrame.from_ndarray(numbered_frame(number, size), format="rgb24")
            frame.pts, frame.time_base = stamp, time_base
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
    return str(path)


def join_streams(path, *others):
    """A file that holds the video streams of others; returns the path, a string."""
    with av.open(str(path), "w") as output:
        sources = [av.open(str(other)) for other in others]
        streams = [output.add_stream_from_template(source.streams.video[0]) for source in sources]
        for source, stream in zip(sources, streams):
            for packet in source.demux(video=0):
                if packet.dts is not None:
                    packet.stream = stream
                    output.mux(packet)
            source.close()
    return str(path)


def turn(path, a, b, c, d):
    """Give an MP4's track a display matrix: x to ``a x + c y``, y to ``b x + d y``."""
    content = Path(path).read_bytes()
    start = content.index(IDENTITY, content.index(b"tkhd"))
    matrix = struct.pack(">9i", a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 0x40000000)
    Path(path).write_bytes(content[:start] + matrix + content[start + len(matrix) :])


def cut(path, share):
    """Leave only the first part of a file."""
    content = Path(path).read_bytes()
    Path(path).write_bytes(content[: int(len(content) * share)])


def damage(path, start, end):
    """Overwrite a part of a file, from and to shares of its length, with noise."""
    content = bytearray(Path(path).read_bytes())
    first, last = int(len(content) * start), int(len(content) * end)
    content[first:last] = np.random.default_rng(0).bytes(last - first)
    Path(path).write_bytes(content)

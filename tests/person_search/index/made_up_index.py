"""Made-up persons in an index: what tests of all kinds of index share."""

import os
import zlib

import numpy as np

from person_search.index import IndexInfo, NewFrame, Source

DIM = 16
INFO = IndexInfo(fingerprint="a" * 64, dim=DIM, model="/runs/reid")


def unit(rows, dim=DIM, seed=0):
    """(rows, dim) random unit vectors, float32, of values that float16 holds exactly or nearly."""
    values = np.random.default_rng(seed).standard_normal((rows, dim)).astype(np.float32)
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def source(path, camera="c1", start=100.0, size=10):
    return Source(path, size, mtime_ns=1, recipe="{}", camera=camera, start=start)


def frame(path, pts=None, persons=2, offset=0.0, seed=0, checksum=None):
    """A frame whose persons depend on nothing but the arguments."""
    key = zlib.crc32(os.fsencode(f"{path} {pts} {seed}"))
    generator = np.random.default_rng(key)
    corner = generator.uniform(0, 50, (persons, 2))
    return NewFrame(
        pts=pts,
        offset=offset,
        width=200,
        height=100,
        boxes=np.concatenate([corner, corner + 20], axis=1).astype(np.float32),
        scores=np.sort(generator.uniform(0.3, 1, persons))[::-1].astype(np.float32),
        features=unit(persons, seed=key),
        checksum=checksum,
    )


def add_picture(writer, path, camera="c1", start=100.0, persons=2):
    writer.begin(source(path, camera, start))
    writer.add(path, frame(path, persons=persons))
    writer.finish(path)


def fill(index):
    """Four pictures of two cameras, a second apart, and a video of three frames; 14 persons."""
    with index.writer() as writer:
        for i in range(4):
            add_picture(writer, f"/data/{i}.jpg", camera=f"c{i % 2}", start=100.0 + i)
        writer.begin(source("/data/v.mp4", camera="video", start=200.0))
        for pts in (0, 10, 20):
            writer.add("/data/v.mp4", frame("/data/v.mp4", pts, offset=pts / 10))
        writer.finish("/data/v.mp4")
        writer.commit()
        writer.optimize()
    index.refresh()


def all_persons(index):
    return [p for f in index.frames(limit=1000) for p in index.persons(f.frame_id)]


def files_holding(folder, feature):
    """The files below a folder in which the bytes of a feature, of either width, are."""
    wanted = [np.asarray(feature, dtype=t).tobytes() for t in (np.float16, np.float32)]
    return [
        path
        for path in folder.rglob("*")
        if path.is_file() and any(w in path.read_bytes() for w in wanted)
    ]

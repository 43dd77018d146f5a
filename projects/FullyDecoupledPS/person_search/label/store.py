"""A project's file: recordings, tracklets and the log of decisions, in SQLite.

Each recording is added in one transaction, and each decision is on the disk when :meth:`decide`
returns. Paths and cameras are stored as :func:`encode_name` writes them.
"""

import hashlib
import json
import os
import time
import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fully_decoupled_ps.utils.names import decode_name, encode_name

from ..errors import UserError
from ..index import Frame
from ..index.database import AMONG, Database, ids_value
from .records import (
    KINDS,
    PROJECT_VERSION,
    Box,
    Decision,
    NewRecording,
    NewTracklet,
    ProjectInfo,
    Recording,
    Simultaneous,
    Tracklet,
    View,
    Xyxy,
)
from .schema import SCHEMA

FILE_NAME = "project.sqlite"
FRAME_COLUMNS = "frame_id, frames.path, pts, camera, time, width, height, time_offset, checksum"
FRAMES = "frames JOIN recordings USING (recording_id)"
BOX_COLUMNS = "box_id, frame_id, tracklet_id, x0, y0, x1, y1, score, is_interpolated"


class ProjectFile(Database):
    """A connection to a project's file. One thread at a time."""

    schema = SCHEMA

    def info(self) -> ProjectInfo | None:
        """What was fixed when the project was made; None: it is new.

        Raises:
            UserError: if it is of another version.
        """
        found = self.get("info")
        if found is None:
            return None
        if found["version"] != PROJECT_VERSION:
            raise UserError(
                f"{self.path} is a project of version {found['version']}, and this code reads "
                f"version {PROJECT_VERSION}; use the version that made it"
            )
        return ProjectInfo(**found)

    def set_info(self, info: ProjectInfo) -> None:
        self.set("info", info._asdict())

    def project_id(self) -> str:
        """A name that no other project has, but copies of this one; made when first asked for."""
        found = self.get("project_id")
        if found is None:
            with self.transaction():
                found = self.get("project_id") or uuid.uuid4().hex
                self.set("project_id", found)
        return found

    def key(self) -> str:
        """Tells this project from all others, also from a copy elsewhere."""
        place = self.project_id().encode() + os.fsencode(self.path.resolve())
        return hashlib.sha256(place).hexdigest()[:32]

    def overlaps(self) -> set[frozenset[str]]:
        """Pairs of cameras whose views were declared to overlap."""
        pairs = self.get("overlaps", [])
        return {frozenset(map(decode_name, pair)) for pair in pairs}

    def set_overlaps(self, pairs: Iterable[frozenset[str]]) -> None:
        self.set("overlaps", sorted(sorted(map(encode_name, pair)) for pair in pairs))

    # recordings

    def recordings(self) -> list[Recording]:
        rows = self._all("SELECT recording_id, path, camera, content, is_timed FROM recordings")
        return [
            Recording(i, decode_name(path), decode_name(camera), content, bool(timed))
            for i, path, camera, content, timed in rows
        ]

    def add_recording(self, new: NewRecording) -> list[int]:
        """Add a recording with all that was found in it; returns the ids of its tracklets."""
        with self.transaction():
            recording_id = self._run(
                "INSERT INTO recordings (path, camera, content, is_timed) VALUES (?, ?, ?, ?)",
                (encode_name(new.path), encode_name(new.camera), new.content, int(new.is_timed)),
            )
            frame_ids = [self._add_frame(recording_id, frame) for frame in new.frames]
            times = [frame[3] for frame in new.frames]
            ids = [self._add_tracklet(recording_id, frame_ids, times, t) for t in new.tracklets]
            self._add_boxes(
                (frame_ids[frame], None, *box, score, 0) for frame, box, score in new.others
            )
            self.add_simultaneous(
                Simultaneous(ids[a], ids[b], first, last, True)
                for a, b, first, last in new.simultaneous
            )
        return ids

    def _add_frame(self, recording_id: int, frame: tuple) -> int:
        path, *others = frame
        return self._run(
            """INSERT INTO frames
            (recording_id, path, pts, checksum, time, time_offset, width, height)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?)""",
            (recording_id, encode_name(path), *others),
        )

    def _add_tracklet(self, recording_id, frame_ids, times, new: NewTracklet) -> int:
        seen = new.frames[~np.asarray(new.is_interpolated)]
        tracklet_id = self._run(
            "INSERT INTO tracklets (recording_id, start, end, num_boxes) VALUES (?, ?, ?, ?)",
            (recording_id, times[seen[0]], times[seen[-1]], len(new.frames)),
        )
        boxes, scores = np.asarray(new.boxes, float).tolist(), np.asarray(new.scores).tolist()
        self._add_boxes(
            (frame_ids[frame], tracklet_id, *box, score, int(interpolated))
            for frame, box, score, interpolated in zip(
                new.frames.tolist(), boxes, scores, new.is_interpolated
            )
        )
        features = np.asarray(new.view_features, dtype=np.float16)
        self._run_many(
            "INSERT INTO views VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    *(tracklet_id, number, frame_ids[new.frames[row]], *boxes[row]),
                    *(scores[row], feature.tobytes()),
                )
                for number, (row, feature) in enumerate(zip(new.view_rows, features))
            ],
        )
        self._run_many(
            "INSERT INTO crops VALUES (?, ?, ?)",
            [(tracklet_id, number, jpeg) for number, jpeg in enumerate(new.crops)],
        )
        return tracklet_id

    def _add_boxes(self, rows: Iterable[tuple]) -> None:
        self._run_many(
            """INSERT INTO boxes (frame_id, tracklet_id, x0, y0, x1, y1, score, is_interpolated)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?)""",
            list(rows),
        )

    # frames and boxes

    def frames(self, frame_ids: Sequence[int] | None = None) -> list[Frame]:
        """By time within each recording; None: all that may be shown and exported."""
        where, values = "WHERE NOT is_withheld", ()
        if frame_ids is not None:
            where, values = f"WHERE frame_id {AMONG}", ids_value(frame_ids)
        rows = self._all(
            f"SELECT {FRAME_COLUMNS} FROM {FRAMES} {where} ORDER BY recording_id, time, frame_id",
            values,
        )
        return [_frame(row) for row in rows]

    def frames_around(self, frame_id: int, count: int) -> list[Frame]:
        """A frame and up to ``count`` before and behind it in its recording, in the order of time.

        Frames that may not be shown are left out, such as the frame itself.
        """
        place = "(SELECT time, frame_id FROM frames WHERE frame_id = ?)"
        found = []
        for comparison, order, limit in ((">", "", count), ("<=", "DESC", count + 1)):
            found += self._all(
                f"""SELECT {FRAME_COLUMNS} FROM {FRAMES}
                WHERE recording_id = (SELECT recording_id FROM frames WHERE frame_id = ?)
                AND NOT is_withheld AND (time, frame_id) {comparison} {place}
                ORDER BY time {order}, frame_id {order} LIMIT ?""",
                (frame_id, frame_id, limit),
            )
        return sorted(map(_frame, found), key=lambda frame: (frame.time, frame.frame_id))

    def recording_ids(self) -> dict[int, int]:
        """The recording of each frame, by their ids."""
        return dict(self._all("SELECT frame_id, recording_id FROM frames"))

    def boxes_of_frames(self, frame_ids: Sequence[int]) -> list[Box]:
        """As they were found; decisions about boxes are not applied."""
        sql = f"SELECT {BOX_COLUMNS} FROM boxes WHERE frame_id {AMONG} ORDER BY box_id"
        return [_box(row) for row in self._all(sql, ids_value(frame_ids))]

    def frame_of_box(self, box_id: int) -> int | None:
        """The frame of a box that was found; None: there is no such box."""
        found = self._all("SELECT frame_id FROM boxes WHERE box_id = ?", (box_id,))
        return found[0][0] if found else None

    def boxes_of_tracklet(self, tracklet_id: int) -> list[Box]:
        """In the order of time."""
        sql = f"SELECT {BOX_COLUMNS} FROM boxes WHERE tracklet_id = ? ORDER BY box_id"
        return [_box(row) for row in self._all(sql, (tracklet_id,))]

    # tracklets

    def tracklets(self) -> list[Tracklet]:
        """By rising id."""
        times: dict[int, list[float]] = {}
        for tracklet_id, seconds in self._all(
            "SELECT tracklet_id, time FROM views JOIN frames USING (frame_id) "
            "ORDER BY tracklet_id, number"
        ):
            times.setdefault(tracklet_id, []).append(seconds)
        rows = self._all(
            "SELECT tracklet_id, recording_id, camera, start, end, num_boxes "
            "FROM tracklets JOIN recordings USING (recording_id) ORDER BY tracklet_id"
        )
        return [
            Tracklet(i, recording, decode_name(camera), *others, tuple(times[i]))
            for i, recording, camera, *others in rows
        ]

    def view_features(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of all V views, by tracklet and number.

        Returns:
            tuple: (V,) int64 tracklet ids, (V,) int64 numbers, (V, D) float32 features.
        """
        rows = self._all(
            "SELECT tracklet_id, number, feature FROM views ORDER BY tracklet_id, number"
        )
        features = np.frombuffer(b"".join(row[2] for row in rows), dtype=np.float16)
        ids = np.array([row[0] for row in rows], dtype=np.int64)
        numbers = np.array([row[1] for row in rows], dtype=np.int64)
        return ids, numbers, features.reshape(len(rows), -1 if rows else 0).astype(np.float32)

    def views(self, tracklet_id: int) -> list[View]:
        rows = self._all(
            "SELECT tracklet_id, number, frame_id, time, x0, y0, x1, y1, score "
            "FROM views JOIN frames USING (frame_id) WHERE tracklet_id = ? ORDER BY number",
            (tracklet_id,),
        )
        return [View(*row[:4], row[4:8], row[8]) for row in rows]

    def crop(self, tracklet_id: int, number: int) -> bytes:
        """A view's JPEG file.

        Raises:
            UserError: if there is none (any more).
        """
        found = self._all(
            "SELECT jpeg FROM crops WHERE tracklet_id = ? AND number = ?", (tracklet_id, number)
        )
        if not found:
            raise UserError(f"the project has no crop {number} of tracklet {tracklet_id} any more")
        return found[0][0]

    def simultaneous(self) -> list[Simultaneous]:
        rows = self._all("SELECT a, b, first, last, is_one_camera FROM simultaneous")
        return [Simultaneous(*row[:4], bool(row[4])) for row in rows]

    def add_simultaneous(self, pairs: Iterable[Simultaneous]) -> None:
        self._run_many("INSERT OR REPLACE INTO simultaneous VALUES (?, ?, ?, ?, ?)", list(pairs))

    def set_between_cameras(self, pairs: Iterable[Simultaneous]) -> None:
        """Have these pairs of two cameras, and no others; within a transaction."""
        self._run("DELETE FROM simultaneous WHERE NOT is_one_camera")
        self.add_simultaneous(pairs)

    def neighbors(self) -> dict[int, tuple[np.ndarray, np.ndarray]]:
        """By tracklet: ids (K,) int64 of the most similar ones, similarities (K,) descending."""
        return {
            tracklet_id: (np.frombuffer(ids, np.int64), np.frombuffer(values, np.float32))
            for tracklet_id, ids, values in self._all("SELECT * FROM neighbors")
        }

    def set_neighbors(self, found: dict[int, tuple[np.ndarray, np.ndarray]]) -> None:
        """Add or replace."""
        self._run_many(
            "INSERT OR REPLACE INTO neighbors VALUES (?, ?, ?)",
            [
                (i, ids.astype(np.int64).tobytes(), values.astype(np.float32).tobytes())
                for i, (ids, values) in found.items()
            ],
        )

    # decisions

    def decide(self, token: str, by: str, kind: str, payload: dict[str, Any]) -> Decision:
        """Add a decision to the log; it is on the disk when this returns.

        A token that is there already is not added again: what was decided then is returned, so
        that somebody who got no answer can ask again.
        """
        if kind not in KINDS:
            raise ValueError(kind)
        with self.transaction():
            if not self.decisions(token):
                self._run(
                    "INSERT INTO decisions (token, time, made_by, kind, payload) "
                    "VALUES (?, ?, ?, ?, ?)",
                    (token, time.time(), by, kind, json.dumps(payload)),
                )
        return self.decisions(token)[0]

    def decisions(self, token: str | None = None) -> list[Decision]:
        """By number; with ``token`` only that one."""
        where, values = ("", ()) if token is None else ("WHERE token = ?", (token,))
        rows = self._all(
            "SELECT number, token, time, made_by, kind, payload FROM decisions "
            f"{where} ORDER BY number",
            values,
        )
        return [Decision(*row[:5], json.loads(row[5])) for row in rows]


def open_project(folder: str | Path) -> ProjectFile:
    """The project in a folder.

    Raises:
        UserError: if there is none, or it is damaged or of another version.
    """
    path = Path(folder) / FILE_NAME
    if not path.is_file():
        raise UserError(
            f"--project {folder}: there is no project; make one with "
            "`person-search label RECORDINGS --project DIR`"
        )
    project = ProjectFile(path)
    project.info()
    return project


def _frame(row: tuple) -> Frame:
    frame_id, path, pts, camera, *others = row
    return Frame(frame_id, decode_name(path), pts, decode_name(camera), *others)


def _box(row: tuple) -> Box:
    box_id, frame_id, tracklet_id, *box, score, interpolated = row
    xyxy: Xyxy = tuple(box)
    return Box(box_id, frame_id, tracklet_id or 0, xyxy, score, bool(interpolated))

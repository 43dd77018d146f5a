"""What only adding recordings does to a project's file: update and replace earlier ones."""

from collections.abc import Sequence

from fully_decoupled_ps.utils.names import encode_name

from ..index import Frame
from .forgotten_log import units_of_tracklets, without
from .records import NewRecording, Recording
from .store import ProjectFile


class GrowingFile(ProjectFile):
    """A project's file to which recordings are added."""

    def checksums(self) -> dict[int, tuple[tuple[int, int], ...]]:
        """By recording the time stamp and checksum of each frame, in the order of time.

        Recordings of which a frame has none are left out, such as pictures.
        """
        found: dict[int, list[tuple]] = {}
        rows = self._all("SELECT recording_id, pts, checksum FROM frames ORDER BY frame_id")
        for recording_id, *frame in rows:
            found.setdefault(recording_id, []).append(tuple(frame))
        return {i: tuple(rows) for i, rows in found.items() if all(None not in r for r in rows)}

    def is_untouched(self, recording: Recording) -> bool:
        """Whether nothing was decided about a recording, and nobody in it was forgotten."""
        where = (recording.recording_id,)
        sql = "SELECT 1 FROM frames WHERE recording_id = ? AND is_withheld LIMIT 1"
        if self._all(sql, where):
            return False
        sql = "SELECT tracklet_id FROM tracklets WHERE recording_id = ?"
        tracklets = [row[0] for row in self._all(sql, where)]
        sql = "SELECT box_id FROM boxes JOIN frames USING (frame_id) WHERE recording_id = ?"
        boxes = {row[0] for row in self._all(sql, where)}
        sql = "SELECT frame_id FROM frames WHERE recording_id = ?"
        frames = {row[0] for row in self._all(sql, where)}
        log = self.decisions()
        removed, changed = without(log, units_of_tracklets(log, tracklets), boxes)
        drawn = any(d.payload.get("frame_id") in frames for d in log)
        return not (removed or changed or drawn)

    def replace_recording(self, old: Recording, new: NewRecording) -> list[int]:
        """In place of an untouched recording; returns the ids of the new one's tracklets."""
        with self.transaction():
            self._run("DELETE FROM recordings WHERE recording_id = ?", (old.recording_id,))
            self._run("DELETE FROM neighbors")  # they name tracklets that are gone
            self.set("related", None)
            return self.add_recording(new)

    def update_recording(
        self,
        old: Recording,
        path: str,
        content: str,
        frames: Sequence[Frame],
        times: Sequence[float] | None,
    ) -> bool:
        """Note where a recording's file is now, and when it was.

        Args:
            frames: as the project has them, with their paths now.
            times: of each frame, said by the user; None: they stay.

        Returns:
            bool: whether the times, or what is known of them, are others now.
        """
        where = "WHERE recording_id = ?"
        rows = self._all(
            f"SELECT frame_id, time FROM frames {where} ORDER BY frame_id", (old.recording_id,)
        )
        before = [seconds for _, seconds in rows]
        now = before if times is None else list(times)
        with self.transaction():
            self._run(
                f"UPDATE recordings SET path = ?, content = ?, is_timed = ? {where}",
                (
                    *(encode_name(path), content),
                    *(int(old.is_timed or times is not None), old.recording_id),
                ),
            )
            self._run_many(
                "UPDATE frames SET path = ?, time = ? WHERE frame_id = ?",
                [(encode_name(f.path), t, i) for f, t, (i, _) in zip(frames, now, rows)],
            )
            self._shift(old, dict(zip(before, now)))
            self.set("related", None)
        return now != before or (times is not None and not old.is_timed)

    def _shift(self, recording: Recording, now: dict[float, float]) -> None:
        """Have the times of tracklets follow those of their frames."""
        sql = "SELECT start, end, tracklet_id FROM tracklets WHERE recording_id = ?"
        tracklets = self._all(sql, (recording.recording_id,))
        self._run_many(
            "UPDATE tracklets SET start = ?, end = ? WHERE tracklet_id = ?",
            [(now[start], now[end], i) for start, end, i in tracklets],
        )
        own = {i for _, _, i in tracklets}
        self.add_simultaneous(
            pair._replace(first=now[pair.first], last=now[pair.last])
            for pair in self.simultaneous()
            if pair.is_one_camera and pair.a in own
        )

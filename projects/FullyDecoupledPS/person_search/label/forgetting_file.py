"""What only forgetting does to a project's file: remove and rewrite."""

import json
import time
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from ..index.database import AMONG, ids_value
from .records import View
from .store import ProjectFile


class ForgettingFile(ProjectFile):
    """A project's file from which persons are removed, within one transaction of the caller's."""

    def withhold(self, tracklets: Iterable[int], margin: float, others: Iterable[int]) -> list[int]:
        """Keep frames from being shown and exported.

        Args:
            tracklets: whose recordings' frames, while they last, are withheld.
            margin: seconds before and after them.
            others: ids of further frames.

        Returns:
            list: the ids of all these frames.
        """
        rows = self._all(
            f"""SELECT DISTINCT frame_id FROM frames JOIN tracklets USING (recording_id)
            WHERE tracklet_id {AMONG} AND time BETWEEN start - ? AND end + ?""",
            (*ids_value(list(tracklets)), margin, margin),
        )
        ids = sorted({row[0] for row in rows} | set(others))
        self._run(f"UPDATE frames SET is_withheld = 1 WHERE frame_id {AMONG}", ids_value(ids))
        return ids

    def views_in(self, frame_ids: Iterable[int]) -> list[View]:
        rows = self._all(
            f"""SELECT tracklet_id, number, frame_id, time, x0, y0, x1, y1, score
            FROM views JOIN frames USING (frame_id) WHERE frame_id {AMONG}""",
            ids_value(list(frame_ids)),
        )
        return [View(*row[:4], row[4:8], row[8]) for row in rows]

    def set_crop(self, view: View, jpeg: bytes) -> None:
        self._run(
            "UPDATE crops SET jpeg = ? WHERE tracklet_id = ? AND number = ?",
            (jpeg, view.tracklet_id, view.number),
        )

    def remove_boxes(self, box_ids: Iterable[int]) -> None:
        self._run(f"DELETE FROM boxes WHERE box_id {AMONG}", ids_value(list(box_ids)))

    def remove_tracklets(self, tracklets: Iterable[int]) -> None:
        """With their boxes, views, crops, and what is known of pairs with them."""
        gone = list(tracklets)
        self._run(f"DELETE FROM tracklets WHERE tracklet_id {AMONG}", ids_value(gone))
        left = {}
        for tracklet, (ids, similarities) in self.neighbors().items():
            kept = ~np.isin(ids, gone)
            if not kept.all():
                left[tracklet] = (ids[kept], similarities[kept])
        self.set_neighbors(left)

    def rewrite_decisions(
        self, removed: Iterable[int], changed: Mapping[int, dict[str, Any]]
    ) -> None:
        """Remove decisions of some numbers, and change the payloads of others."""
        self._run(f"DELETE FROM decisions WHERE number {AMONG}", ids_value(list(removed)))
        self._run_many(
            "UPDATE decisions SET payload = ? WHERE number = ?",
            [(json.dumps(payload), number) for number, payload in changed.items()],
        )

    def add_decision(self, token: str, by: str, kind: str, payload: dict[str, Any]) -> None:
        self._run(
            "INSERT INTO decisions (token, time, made_by, kind, payload) VALUES (?, ?, ?, ?, ?)",
            (token, time.time(), by, kind, json.dumps(payload)),
        )

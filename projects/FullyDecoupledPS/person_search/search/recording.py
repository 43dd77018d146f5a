"""Writing to an index what the network finds in the frames of a plan's files."""

import time

import numpy as np

from ..index import IndexWriter, NewFrame
from ..media.batches import End, Item, Restart, Sample
from ..network import PersonDetections
from .forgetting import ForgottenPersons
from .plan import IndexingOptions, Plan

# Seconds between commits: what a kill can cost.
COMMIT_SECONDS = 2.0


class Recorder:
    """Records batch after batch, with a commit every few seconds; the last one is the caller's."""

    def __init__(
        self,
        writer: IndexWriter,
        plan: Plan,
        options: IndexingOptions,
        report,
        forgotten: ForgottenPersons,
    ):
        """``report``: an ``IndexingReport``, in which what is done is counted."""
        self.writer = writer
        self.plan = plan
        self.score_thresh = options.score_thresh
        self.report = report
        self.forgotten = forgotten
        self._begun: set[str] = set()
        self._committed = time.monotonic()

    def record(self, batch: list[Item], found: list[PersonDetections]) -> None:
        """``found``: of each of the batch's samples."""
        start = time.monotonic()
        remaining = iter(found)
        for item in batch:
            if isinstance(item, Sample):
                self._begin(item.path)
                frame = self._frame(item, next(remaining))
                self.writer.add(item.path, frame)
                self.report.frames += 1
                self.report.persons += len(frame.scores)
            elif isinstance(item, Restart):
                self.plan.continued.discard(item.path)
            else:
                self._end(item)
        if time.monotonic() - self._committed > COMMIT_SECONDS:
            self.writer.commit()
            self._committed = time.monotonic()
        self.report.writing_seconds += time.monotonic() - start

    def _begin(self, path: str) -> None:
        if path not in self._begun:
            self._begun.add(path)
            source, is_continued = self.plan.sources[path], path in self.plan.continued
            self.writer.begin(source, is_continued)
            self.forgotten.begin(source, is_continued)

    def _frame(self, sample: Sample, found: PersonDetections) -> NewFrame:
        """The frame, without those of its persons who were forgotten."""
        keep = found.scores >= self.score_thresh
        among = self.forgotten.among(sample.path, sample.pts, found.boxes, sample.checksum)
        self.report.left_out += int((keep & among).sum())
        keep &= ~among
        return NewFrame(
            pts=sample.pts,
            offset=sample.offset,
            width=sample.inputs["width"],
            height=sample.inputs["height"],
            boxes=found.boxes[keep],
            scores=found.scores[keep],
            features=found.features[keep].astype(np.float16),
            checksum=sample.checksum,
        )

    def _end(self, end: End) -> None:
        path, report = end.path, self.report
        if end.note:
            report.notes.setdefault(end.note, []).append(path)
        if end.error:
            # frames that were read stay; if none was, so does what the index had of the file
            is_in_part = path in self._begun or path in self.plan.continued
            (report.incomplete if is_in_part else report.unreadable)[path] = end.error
            return
        if path not in self._begun:  # it had no new frame
            self.writer.begin(self.plan.sources[path], path in self.plan.continued)
        self.writer.finish(path)
        report.added += 1

"""The evaluator for Detectron2's test loop: collects predictions, gathers them, has them scored."""

import itertools
import logging
import os
from collections import Counter, OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np
from detectron2.config import CfgNode, configurable
from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm

from ..errors import UserError
from ..utils.files import tell_unwritable
from .predictions import FrameRecord, Predictions, collect_predictions
from .predictions_file import save_predictions
from .reporting import report
from .scoring import EvaluationOptions, score_predictions
from .search_dataset import SearchDataset

logger = logging.getLogger(__name__)


class PersonSearchEvaluator(DatasetEvaluator):
    """Detection and search metrics of a dataset with ``evaluator_type`` "person_search".

    One pass over the test loader gives every figure: detection AP and recall over all persons, and
    mAP and top-1, -5, -10 under every protocol of the dataset, without and with class weighted
    similarity (CWS). ``detection_metrics.py`` and ``search_metrics.py`` define them.

    A frame whose image could not be read has no detections, and its persons count as not found, in
    detection and in search. Queries in it are left out of the means, as nobody could be asked for.
    The log and the counts in ``metrics.json`` say how many there were of each.
    """

    @configurable
    def __init__(
        self,
        dataset_name: str,
        *,
        score_thresh: float = 0.5,
        more_score_threshs: Sequence[float] = (),
        cws: bool = True,
        cbgm: tuple[int, int] | None = None,
        gallery_sizes: Sequence[int] = (),
        gt_boxes: bool = False,
        gt_boxes_only: bool = False,
        coco_ap: bool = False,
        breakdown: bool = False,
        save: bool = False,
        device: str = "cpu",
        distributed: bool = True,
        output_dir: str | None = None,
    ):
        """
        Args:
            dataset_name: a registered test set with queries.
            score_thresh: search leaves out gallery detections of a lower score; detection metrics
                take them all.
            more_score_threshs: search is evaluated with these as well.
            cws: evaluate with class weighted similarity as well.
            cbgm: (k1, k2): evaluate with context matching as well, see ``context_matching.py``.
            gallery_sizes: evaluate only the protocols whose galleries have these numbers of frames;
                default all protocols.
            gt_boxes: evaluate search in ground-truth boxes as well, an upper bound. The model's
                inputs must have those of each frame among their "queries".
            gt_boxes_only: evaluate nothing else, whatever other options say; the outputs need no
                detections.
            coco_ap: evaluate COCO's detection AP as well.
            breakdown: also mAP by pair of cameras and by box height.
            save: write the predictions to ``predictions.npz``, see ``predictions_file.py``.
            device: where similarities are computed.
            distributed: gather the predictions of all processes; the first one evaluates.
            output_dir: write ``metrics.json``, ``queries_<protocol>.json`` and the plots there.

        Raises:
            UserError: no such dataset, or it has no queries; an option with a wrong value.
        """
        self.dataset = SearchDataset(dataset_name)
        self.options = EvaluationOptions(
            score_threshs=_checked_threshs([score_thresh, *more_score_threshs]),
            cws=cws,
            cbgm=_checked_cbgm(cbgm),
            gallery_sizes=tuple(gallery_sizes),
            gt_boxes=gt_boxes or gt_boxes_only,
            gt_boxes_only=gt_boxes_only,
            coco_ap=coco_ap,
            breakdown=breakdown,
            query_results=output_dir is not None and not gt_boxes_only,
            device=device,
        )
        if save and not output_dir:
            raise UserError("predictions can't be saved without an output folder; give one")
        self.save = save
        self.distributed = distributed
        self.output_dir = output_dir
        self._records: list[FrameRecord] = []

    @classmethod
    def from_config(
        cls, cfg: CfgNode, dataset_name: str, output_dir: str | None = None
    ) -> dict[str, Any]:
        search = cfg.TEST.SEARCH
        return {
            "dataset_name": dataset_name,
            "score_thresh": search.SCORE_THRESH,
            "more_score_threshs": search.MORE_SCORE_THRESHS,
            "cws": search.CWS,
            "cbgm": search.CBGM,
            "gallery_sizes": search.GALLERY_SIZES,
            "gt_boxes": search.GT_BOXES,
            "gt_boxes_only": search.GT_BOXES_ONLY,
            "coco_ap": search.COCO_AP,
            "breakdown": search.BREAKDOWN,
            "save": search.SAVE_PREDICTIONS,
            "device": cfg.MODEL.DEVICE,
            "output_dir": output_dir,
        }

    def reset(self) -> None:
        self._records = []

    def process(self, inputs: list[dict[str, Any]], outputs: list[dict[str, Any]]) -> None:
        """
        Args:
            inputs: dataset dicts with "image_id" and, in frames with queries, "queries"; or, where
                the image could not be read, "unreadable", True. Their "image_note" is told.
            outputs: "instances" with ``pred_boxes`` and ``scores``; models with a re-id part add
                ``reid_features`` and, where the input has queries, "query_features".
        """
        for frame, output in zip(inputs, outputs):
            if frame.get("unreadable"):
                logger.warning("image '%s' can't be read: nothing is found", frame["file_name"])
                empty = {"boxes": _to_numpy([]).reshape(0, 4), "scores": _to_numpy([])}
                record = {"image_id": frame["image_id"], **empty, "unreadable": True}
                self._records.append(record)
                continue
            instances = output["instances"]
            record = {
                "image_id": frame["image_id"],
                "boxes": _to_numpy(instances.pred_boxes.tensor),
                "scores": _to_numpy(instances.scores),
            }
            if instances.has("reid_features"):
                record["features"] = _to_numpy(instances.reid_features)
            if "query_features" in output:
                record["query_features"] = _to_numpy(output["query_features"])
            if frame.get("queries") is not None and len(frame["queries"]):
                record["query_boxes"] = _to_numpy(frame["queries"]).reshape(-1, 4)
            if "image_note" in frame:
                logger.warning("image '%s' %s", frame["file_name"], frame["image_note"])
                record["image_note"] = frame["image_note"]
            self._records.append(record)

    def evaluate(self) -> "OrderedDict[str, dict[str, float]]":
        """
        Returns:
            {"detection": {"AP", "recall", ...}, "search": {"mAP", "top1", "top5", "top10"}, ...}
            in percent. "search" is the dataset's first protocol, "search_<name>" any other, with
            "_cws" appended for CWS, "_cbgm", "_score<threshold>" and "_gt_boxes" likewise. Without
            features only "detection", with ``gt_boxes_only`` only those with "_gt_boxes"; a search
            over no query has no figure. In all processes but the first one, an empty dict.

        Raises:
            UserError: predictions that would give wrong figures.
        """
        records = self._records
        if self.distributed:
            comm.synchronize()
            records = list(itertools.chain(*comm.gather(records, dst=0)))
            if not comm.is_main_process():
                return OrderedDict()
        notes = Counter(r["image_note"] for r in records if "image_note" in r)
        for note, number in notes.items():
            logger.warning("%s: %d image(s) each of which %s", self.dataset.name, number, note)
        return self.evaluate_predictions(
            collect_predictions(records, self.dataset.image_ids, self.dataset.name)
        )

    def evaluate_predictions(
        self, predictions: Predictions
    ) -> "OrderedDict[str, dict[str, float]]":
        """Score predictions of the whole dataset; see :meth:`evaluate`."""
        if self.save:
            path = os.path.join(self.output_dir, "predictions.npz")
            with tell_unwritable(path):
                save_predictions(
                    path, predictions, self.dataset.name, self.options.score_threshs[0]
                )
        if not predictions.searchable:
            logger.info("There are no re-id features: only detection is evaluated.")
        dataset = self.dataset
        if predictions.unreadable.any():
            dataset = dataset.without_queries_in(predictions.unreadable)
        scores = score_predictions(dataset, predictions, self.options)
        with tell_unwritable(self.output_dir):
            report(dataset, scores, self.options, self.output_dir)
        return OrderedDict(scores.metrics())


def _checked_threshs(threshs: Sequence[float]) -> tuple[float, ...]:
    """Without duplicates."""
    for thresh in threshs:
        if not 0 <= thresh <= 1:
            raise UserError(f"score threshold {thresh} is invalid; give a number from 0 to 1")
    return tuple(dict.fromkeys(threshs))


def _checked_cbgm(cbgm: Sequence[int] | None) -> tuple[int, int] | None:
    if not cbgm:
        return None
    if len(cbgm) != 2 or any(k != int(k) or k < 1 for k in cbgm):
        raise UserError(
            f"CBGM (k1, k2) is {tuple(cbgm)}; give two whole numbers of 1 or more, such as "
            "(30, 4), or () to leave it out"
        )
    return int(cbgm[0]), int(cbgm[1])


def _to_numpy(values: Any) -> np.ndarray:
    """A tensor on any device, an array or a list -> float32 array."""
    if hasattr(values, "detach"):
        values = values.detach().cpu().numpy()
    return np.asarray(values, dtype=np.float32)

"""The evaluator for Detectron2's test loop: collects predictions, gathers, reports."""

import itertools
import json
import logging
import os
from collections import OrderedDict
from typing import Any, Dict, List, Optional, Tuple

import numpy as np
from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm
from tabulate import tabulate

from .detection_metrics import evaluate_detection
from .frame_tables import Detections, GroundTruth
from .predictions import Predictions, Record, collect_predictions
from .query_results import NUM_HITS, write_query_results
from .search_dataset import SearchDataset
from .search_metrics import SearchResult, SearchVariant, evaluate_search

logger = logging.getLogger(__name__)


class PersonSearchEvaluator(DatasetEvaluator):
    """Detection and search metrics of a dataset with ``evaluator_type`` "person_search".

    One pass over the test loader gives every figure: detection AP and recall over all persons, and
    mAP and top-1, -5, -10 under every protocol of the dataset, without and with class weighted
    similarity (CWS). What they mean is said in ``detection_metrics.py`` and ``search_metrics.py``.
    """

    def __init__(
        self,
        dataset_name: str,
        *,
        score_thresh: float = 0.5,
        distributed: bool = True,
        output_dir: Optional[str] = None,
    ):
        """
        Args:
            dataset_name: a registered test set with queries.
            score_thresh: search leaves out gallery detections of a lower score; detection metrics
                take them all.
            distributed: gather the predictions of all processes; the first one evaluates.
            output_dir: write ``metrics.json`` and ``queries_<protocol>.json`` there.

        Raises:
            UserError: no such dataset, or it has no queries.
        """
        self.dataset = SearchDataset(dataset_name)
        self.score_thresh = score_thresh
        self.distributed = distributed
        self.output_dir = output_dir
        self._records: List[Record] = []

    def reset(self) -> None:
        self._records = []

    def process(self, inputs: List[Dict[str, Any]], outputs: List[Dict[str, Any]]) -> None:
        """
        Args:
            inputs: dataset dicts with "image_id" and, in frames with queries, "queries".
            outputs: "instances" with ``pred_boxes`` and ``scores``; models with a re-id part add
                ``reid_features`` and, where the input has queries, "query_features".
        """
        for frame, output in zip(inputs, outputs):
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
            self._records.append(record)

    def evaluate(self) -> "OrderedDict[str, Dict[str, float]]":
        """
        Returns:
            {"detection": {"AP", "recall"}, "search": {"mAP", "top1", "top5", "top10"}, ...} in
            percent. "search" is the dataset's first protocol, "search_<name>" any other, with
            "_cws" appended for CWS. Without features only "detection". In all processes but the
            first one, an empty dict.

        Raises:
            UserError: predictions that would give wrong figures.
        """
        records = self._records
        if self.distributed:
            comm.synchronize()
            records = list(itertools.chain(*comm.gather(records, dst=0)))
            if not comm.is_main_process():
                return OrderedDict()
        return self.evaluate_predictions(
            collect_predictions(records, self.dataset.image_ids, self.dataset.name)
        )

    def evaluate_predictions(
        self, predictions: Predictions
    ) -> "OrderedDict[str, Dict[str, float]]":
        """Score predictions of the whole dataset; see :meth:`evaluate`."""
        counts = {"frames": int(self.dataset.gallery_frames.sum())}
        detections, ground_truth = self._gallery_part(predictions.detections)
        counts["detections"], counts["persons"] = len(detections), len(ground_truth)
        results = OrderedDict(detection=evaluate_detection(detections, ground_truth))
        if predictions.searchable:
            found = self._search(predictions)
            main = next(iter(self.dataset.protocols))
            for (protocol, variant), result in found.items():
                task = "search" if protocol == main else f"search_{protocol}"
                results[task + "_cws" * variant.weight_by_score] = result.metrics()
            counts.update(_query_counts(found))
        else:
            logger.info("The model gives no re-id features: only detection is evaluated.")
        self._report(results, counts)
        return results

    def _gallery_part(self, detections: Detections) -> Tuple[Detections, GroundTruth]:
        """What lies in gallery frames; frames that hold queries only are not scored."""
        keep, gt = self.dataset.gallery_frames, self.dataset.ground_truth
        return detections.keep(keep[detections.frame_of]), gt.keep(keep[gt.frame_of])

    def _search(self, predictions: Predictions) -> Dict[Tuple[str, SearchVariant], SearchResult]:
        detections = predictions.detections
        detections = detections.keep(detections.scores >= self.score_thresh)
        plain = SearchVariant(num_hits=NUM_HITS if self.output_dir else 0)
        found = evaluate_search(
            detections,
            self.dataset.ground_truth,
            predictions.query_features,
            self.dataset.search_protocols(predictions),
            (plain, SearchVariant(weight_by_score=True)),
            gallery_frames=self.dataset.gallery_frames,
        )
        if self.output_dir:
            os.makedirs(self.output_dir, exist_ok=True)
            searched = Predictions(
                predictions.image_ids,
                detections,
                predictions.query_boxes,
                predictions.query_offsets,
            )
            for protocol in self.dataset.protocols:
                path = os.path.join(self.output_dir, f"queries_{protocol}.json")
                result = found[protocol, plain]
                write_query_results(
                    path, self.dataset, searched, protocol, result, self.score_thresh
                )
        return found

    def _report(self, results: Dict[str, Dict[str, float]], counts: Dict[str, Any]) -> None:
        for task, names in (("detection", ("AP", "recall")), ("search", None)):
            rows = [[k, *v.values()] for k, v in results.items() if k.startswith(task)]
            if rows:
                headers = ["", *(names or results["search"])]
                table = tabulate(rows, headers, tablefmt="pipe", floatfmt=".2f")
                logger.info("%s on %s, in percent:\n%s", task, self.dataset.name, table)
        for protocol, n in counts.get("queries_without_ground_truth", {}).items():
            if n:
                fate = "left out" if counts["queries_left_out"][protocol] else "AP 0"
                logger.warning(
                    "%s, protocol %s: %d of %d queries have no ground truth in their gallery (%s)",
                    self.dataset.name, protocol, n, counts["queries"][protocol], fate,
                )  # fmt: skip
        if self.output_dir:
            os.makedirs(self.output_dir, exist_ok=True)
            with open(os.path.join(self.output_dir, "metrics.json"), "w") as f:
                json.dump({"dataset": self.dataset.name, "counts": counts, **results}, f, indent=2)


def _query_counts(
    found: Dict[Tuple[str, SearchVariant], SearchResult],
) -> Dict[str, Dict[str, int]]:
    """Per protocol: queries given, those without ground truth, those left out of the means."""
    results = {protocol: r for (protocol, variant), r in found.items()}
    return {
        "queries": {p: len(r.queries) for p, r in results.items()},
        "queries_without_ground_truth": {p: r.num_without_ground_truth for p, r in results.items()},
        "queries_left_out": {p: len(r.queries) - len(r.counted) for p, r in results.items()},
    }


def _to_numpy(values: Any) -> np.ndarray:
    """A tensor on any device, an array or a list -> float32 array."""
    if hasattr(values, "detach"):
        values = values.detach().cpu().numpy()
    return np.asarray(values, dtype=np.float32)

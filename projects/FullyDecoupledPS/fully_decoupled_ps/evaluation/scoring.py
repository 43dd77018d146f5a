"""From predictions to every figure: which searches are run, and what each result is called."""

import re
from dataclasses import dataclass, replace
from typing import Any

from .breakdown import camera_protocols
from .coco_metrics import evaluate_coco
from .detection_metrics import evaluate_detection
from .frame_tables import Detections
from .ignore_regions import judged_in_search
from .predictions import Predictions
from .query_results import NUM_HITS
from .search_dataset import SearchDataset
from .search_metrics import SearchResult, SearchVariant, evaluate_search

# IoU of a right detection, and what it adds to a figure's name; the published ones are at 0.5.
DETECTION_IOUS = {0.5: "", 0.7: "_iou70"}
# The end of a search task's name, which tells how it differs from the main variant.
SUFFIX = re.compile(r"(?:_score(?P<score>[^_]+))?(?P<cbgm>_cbgm)?(?P<cws>_cws)?(?P<gt>_gt_boxes)?$")

Metrics = dict[str, dict[str, float]]


@dataclass(frozen=True)
class EvaluationOptions:
    """What is evaluated; see :class:`PersonSearchEvaluator` for the meaning of each field."""

    score_threshs: tuple[float, ...] = (0.5,)
    cws: bool = True
    cbgm: tuple[int, int] | None = None
    gallery_sizes: tuple[int, ...] = ()
    gt_boxes: bool = False
    gt_boxes_only: bool = False
    coco_ap: bool = False
    breakdown: bool = False
    query_results: bool = False
    device: str = "cpu"

    def variants(self) -> list[SearchVariant]:
        """Those that are run; the first is the one that everything else is compared with."""
        hits = NUM_HITS if self.query_results else 0
        variants = [
            SearchVariant(weight_by_score=cws, score_thresh=thresh, context=context)
            for thresh in self.score_threshs
            for context in ((None, self.cbgm) if self.cbgm else (None,))
            for cws in ((False, True) if self.cws else (False,))
        ]
        return [variants[0]._replace(num_hits=hits), *variants[1:]]


@dataclass(frozen=True)
class Scores:
    """All results of one evaluation."""

    detection: Metrics  # "detection" and, if asked for, "detection_coco"
    # (protocol name, variant) -> result; the first protocol and variant are the main ones.
    search: dict[tuple[str, SearchVariant], SearchResult]
    # The same with ground-truth boxes for detections.
    gt_boxes: dict[str, SearchResult]
    # Camera of the gallery -> result of the main variant, where cameras are looked at one by one.
    cameras: dict[Any, SearchResult]
    searched: Detections | None  # the detections that the results' rows are of
    counts: dict[str, Any]

    def metrics(self) -> Metrics:
        """Task -> metrics, as :meth:`PersonSearchEvaluator.evaluate` returns them."""
        return {**self.detection, **self.search_metrics()}

    def of_main_variant(self) -> dict[str, SearchResult]:
        """Protocol name -> result; empty if there was no search."""
        _, main = next(iter(self.search), (None, None))
        return {p: result for (p, variant), result in self.search.items() if variant == main}

    def search_metrics(self) -> Metrics:
        """The tasks of search alone."""
        main_protocol, main = next(iter(self.search), (next(iter(self.gt_boxes), None), None))
        results = [
            (protocol, _suffix(variant, main), result)
            for (protocol, variant), result in self.search.items()
        ]
        results += [(protocol, "_gt_boxes", result) for protocol, result in self.gt_boxes.items()]
        return {
            "search" + f"_{protocol}" * (protocol != main_protocol) + suffix: result.metrics()
            for protocol, suffix, result in results
        }


def _suffix(variant: SearchVariant, main: SearchVariant) -> str:
    suffix = "" if variant.score_thresh == main.score_thresh else f"_score{variant.score_thresh:g}"
    return suffix + "_cbgm" * bool(variant.context) + "_cws" * variant.weight_by_score


def score_predictions(
    dataset: SearchDataset, predictions: Predictions, options: EvaluationOptions
) -> Scores:
    """Every figure that the options ask for.

    Raises:
        UserError: a query without a feature, or ground-truth boxes without features.
    """
    if options.gt_boxes_only:
        return _score_gt_boxes(dataset, predictions, options)
    # What lies in other frames than those of the gallery is not scored.
    detections, ground_truth, regions = (
        table.keep(dataset.gallery_frames[table.frame_of])
        for table in (
            replace(predictions.detections, features=None),
            dataset.ground_truth,
            dataset.ignore_regions,
        )
    )
    detection: Metrics = {"detection": {}}
    for iou, suffix in DETECTION_IOUS.items():
        metrics = evaluate_detection(
            detections, ground_truth, iou_thresh=iou, ignore_regions=regions
        )
        detection["detection"].update({name + suffix: value for name, value in metrics.items()})
    if options.coco_ap:
        detection["detection_coco"] = evaluate_coco(detections, ground_truth, regions)
    counts = {
        "frames": int(dataset.gallery_frames.sum()),
        "detections": len(detections),
        "persons": len(ground_truth),
    }
    if predictions.unreadable.any():
        counts["unreadable_frames"] = int(predictions.unreadable.sum())
        counts["queries_in_unreadable_frames"] = dataset.num_queries_left_out
    found = predictions.detections
    if len(regions):
        judged = judged_in_search(found, dataset.ground_truth, dataset.ignore_regions)
        left_out = ~judged & dataset.gallery_frames[found.frame_of]
        found = found.keep(judged)
        counts["ignore_regions"] = len(regions)
        counts["detections_in_ignore_regions"] = int(left_out.sum())
    if not predictions.searchable:
        return Scores(detection, {}, {}, {}, None, counts)
    names = dataset.protocol_names(options.gallery_sizes)
    protocols = [dataset.search_protocol(name, predictions) for name in names]
    found = found.keep(found.scores >= min(options.score_threshs))
    variants = options.variants()

    def search(detections, protocols, variants):
        return evaluate_search(
            detections,
            dataset.ground_truth,
            predictions.query_features,
            protocols,
            variants,
            gallery_frames=dataset.gallery_frames,
            device=options.device,
        )

    results = search(found, protocols, variants)
    cameras, gt_boxes = {}, {}
    if options.breakdown:
        main = SearchVariant(score_thresh=options.score_threshs[0])
        by_camera = camera_protocols(dataset, protocols[0])
        of_cameras = search(found, list(by_camera.values()), [main])
        cameras = {camera: of_cameras[p.name, main] for camera, p in by_camera.items()}
    if options.gt_boxes:
        perfect = dataset.ground_truth_as_detections(predictions)
        of_gt_boxes = search(perfect, protocols, [SearchVariant()])
        gt_boxes = {protocol: result for (protocol, _), result in of_gt_boxes.items()}
    counts.update(_query_counts({p.name: results[p.name, variants[0]] for p in protocols}))
    return Scores(detection, results, gt_boxes, cameras, found, counts)


def _score_gt_boxes(
    dataset: SearchDataset, predictions: Predictions, options: EvaluationOptions
) -> Scores:
    """Search in ground-truth boxes alone; without features, nothing."""
    counts = {"frames": int(dataset.gallery_frames.sum())}
    if not predictions.searchable:
        return Scores({}, {}, {}, {}, None, counts)
    names = dataset.protocol_names(options.gallery_sizes)
    results = evaluate_search(
        dataset.ground_truth_as_detections(predictions),
        dataset.ground_truth,
        predictions.query_features,
        [dataset.search_protocol(name, predictions) for name in names],
        gallery_frames=dataset.gallery_frames,
        device=options.device,
    )
    gt_boxes = {protocol: result for (protocol, _), result in results.items()}
    return Scores({}, {}, gt_boxes, {}, None, {**counts, **_query_counts(gt_boxes)})


def _query_counts(results: dict[str, SearchResult]) -> dict[str, dict[str, int]]:
    """By protocol: how many queries there were, and which of them say little."""
    return {
        "queries": {p: len(r.queries) for p, r in results.items()},
        "queries_without_ground_truth": {p: r.num_without_ground_truth for p, r in results.items()},
        "queries_left_out": {p: len(r.queries) - len(r.counted) for p, r in results.items()},
    }

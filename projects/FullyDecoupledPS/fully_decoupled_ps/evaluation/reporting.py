"""Shows the scores: tables in the log; metrics.json, per-query results, breakdowns and plots."""

import json
import logging
import os
from typing import Any

from tabulate import tabulate

from ..utils.files import atomic_write
from . import coco_metrics, detection_metrics, plots, search_metrics
from .breakdown import Rows, by_camera_pair, by_height
from .query_results import write_query_results
from .scoring import DETECTION_IOUS, EvaluationOptions, Scores
from .search_dataset import SearchDataset

logger = logging.getLogger(__name__)

# Task of detection -> all of its figures.
NAMES = {
    "detection": [n + end for end in DETECTION_IOUS.values() for n in detection_metrics.METRICS],
    "detection_coco": coco_metrics.METRICS,
}
# Table -> what draws it.
PLOTS = {
    "camera_pairs": plots.plot_camera_pairs,
    "heights": plots.plot_heights,
    "gallery_sizes": plots.plot_gallery_sizes,
}


def report(
    dataset: SearchDataset,
    scores: Scores,
    options: EvaluationOptions,
    output_dir: str | None = None,
) -> None:
    """Log every table, and write the files into ``output_dir`` if it is given."""
    # figures over no query or person are None: "n/a" in tables, null in files
    detection = {task: {**dict.fromkeys(NAMES[task]), **v} for task, v in scores.detection.items()}
    none = dict.fromkeys(search_metrics.METRICS)
    search = {task: {**none, **values} for task, values in scores.search_metrics().items()}
    for title, tasks in (("Detection", detection), ("Search", search)):
        rows = [{"": task, **values} for task, values in tasks.items()]
        _log_table(f"{title} on {dataset.name}, in percent", rows)
    if scores.detection:
        _warn_of_nobody(dataset.name, scores.detection["detection"])
    _tell_counts(dataset.name, scores.counts)
    _warn_of_idle_thresholds(dataset.name, scores, options)
    tables = _breakdowns(dataset, scores) if options.breakdown else {}
    sizes = _gallery_size_rows(dataset, scores)
    if len(sizes) > 1:
        tables["gallery_sizes"] = sizes
    for name, rows in tables.items():
        _log_table(f"{dataset.name}: {name.replace('_', ' ')}", rows)
    if not output_dir:
        return
    os.makedirs(output_dir, exist_ok=True)
    content = {"dataset": dataset.name, "counts": scores.counts, **detection, **search}
    _write_json(os.path.join(output_dir, "metrics.json"), content)
    if options.query_results:
        for protocol, result in scores.of_main_variant().items():
            path = os.path.join(output_dir, f"queries_{protocol}.json")
            thresh = options.score_threshs[0]
            write_query_results(path, dataset, scores.searched, protocol, result, thresh)
    for name, rows in tables.items():
        path = os.path.join(output_dir, name)
        _write_json(path + ".json", rows)
        PLOTS[name](path + ".png", rows)


def _breakdowns(dataset: SearchDataset, scores: Scores) -> dict[str, Rows]:
    """Of the main protocol and variant; empty ones are left out."""
    if not scores.search:
        return {}
    protocol, result = next(iter(scores.of_main_variant().items()))
    queries = dataset.protocols[protocol]
    frames = dataset.frame_numbers([q["image_id"] for q in queries])
    tables = {
        "camera_pairs": by_camera_pair([dataset.cameras[i] for i in frames], scores.cameras),
        "heights": by_height([q["bbox"][3] - q["bbox"][1] for q in queries], result),
    }
    return {name: rows for name, rows in tables.items() if rows}


def _gallery_size_rows(dataset: SearchDataset, scores: Scores) -> Rows:
    """The main variant's metrics of the protocols whose galleries are all of one size."""
    rows = [
        {"gallery_size": dataset.gallery_size(protocol), **result.metrics()}
        for protocol, result in scores.of_main_variant().items()
        if result.counted and dataset.gallery_size(protocol) is not None
    ]
    return sorted(rows, key=lambda row: row["gallery_size"])


def _warn_of_nobody(name: str, detection: dict[str, float]) -> None:
    for figure, who in (("recall", "nobody is annotated"), ("labelled_recall", "nobody has an id")):
        if figure not in detection:
            logger.warning("%s: %s; figures of detection over them are n/a", name, who)
            return


def _tell_counts(name: str, counts: dict[str, Any]) -> None:
    """What was not scored."""
    if "ignore_regions" in counts:
        logger.info(
            "%s: %d crowds or regions to ignore; %d detections in them match no annotated person "
            "and are not scored",
            name, counts["ignore_regions"], counts["detections_in_ignore_regions"],
        )  # fmt: skip
    if "unreadable_frames" in counts:
        left_out = counts["queries_in_unreadable_frames"]
        logger.warning(
            "%s: %d frame(s) could not be read; their persons count as not found, and the queries "
            "in them are left out (%s)",
            name, counts["unreadable_frames"],
            ", ".join(f"{protocol}: {n}" for protocol, n in left_out.items()),
        )  # fmt: skip
    for protocol, n in counts.get("queries_without_ground_truth", {}).items():
        asked, left_out = (counts[key][protocol] for key in ("queries", "queries_left_out"))
        if n:
            logger.warning(
                "%s, protocol %s: %d of %d queries have no ground truth in their gallery (%s)",
                name, protocol, n, asked, "left out" if left_out else "AP 0",
            )  # fmt: skip
        if asked == left_out:
            logger.warning(
                "%s, protocol %s: there is no query to take a mean over; its figures are n/a",
                name, protocol,
            )  # fmt: skip


def _warn_of_idle_thresholds(name: str, scores: Scores, options: EvaluationOptions) -> None:
    """Two thresholds below the lowest score that was predicted give the same figures."""
    if scores.searched is None or not len(scores.searched):
        return
    lowest = scores.searched.scores.min()
    idle = sorted(t for t in options.score_threshs if t <= lowest)
    if len(idle) > 1:
        logger.warning(
            "%s: the lowest score predicted is %.3g, so that figures with the score thresholds %s "
            "are the same; lower the detector's own SCORE_THRESH_TEST to tell them apart",
            name, lowest, ", ".join(f"{t:g}" for t in idle),
        )  # fmt: skip


def _log_table(title: str, rows: list[dict[str, Any]]) -> None:
    if rows:
        table = tabulate(rows, "keys", tablefmt="pipe", floatfmt=".2f", missingval="n/a")
        logger.info("%s:\n%s", title, table)


def _write_json(path: str, content: Any) -> None:
    with atomic_write(path) as f:
        json.dump(content, f, indent=2)

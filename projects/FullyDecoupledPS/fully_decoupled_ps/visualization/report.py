"""The report: one HTML page, complete in itself, of what a run found and what it missed.

Everything on it is read from files: the evaluator's `metrics.json` and `queries_<protocol>.json`,
the training logs, and the `metrics.json` of the two references that the figures stand beside: the
colour-histogram matcher (the floor) and the same network before its re-id training.
"""

import logging
import math
from collections.abc import Mapping
from pathlib import Path

from ..data.images import read_image
from ..evaluation.query_results import PathLike, Record, load_queries, read_json
from ..evaluation.scoring import SUFFIX
from . import curves
from .html_templates import template_environment
from .query_cards import NUM_HARDEST, find_image, query_card, select_queries

logger = logging.getLogger(__name__)

STAGE_TITLES = {
    "detection": "Stage 1, detection",
    "reid": "Stage 2, re-identification",
}
TRAINED = "This network"
UNTRAINED = "Same network before its re-id training"
FLOOR = "Floor: colour histograms of the true boxes"

# Group of SUFFIX -> what it says of a search.
VARIANT_WORDS = {
    "score": "detections from a score of {}",
    "cbgm": "context matching",
    "cws": "class-weighted similarity",
    "gt": "the true boxes (upper bound)",
}


def write_report(
    path: PathLike,
    *,
    title: str,
    results: PathLike,
    queries_file: PathLike,
    training_logs: Mapping[str, PathLike] | None = None,
    floor: PathLike | None = None,
    untrained: PathLike | None = None,
    untrained_title: str = UNTRAINED,
    facts: Mapping[str, str] | None = None,
    image_root: PathLike | None = None,
) -> Path:
    """Write the page to `path`, making its folder, and return `path`.

    Args:
        title: the page's heading.
        results: the evaluator's `metrics.json` of the trained network.
        queries_file: its `queries_<protocol>.json`; `select_queries` says which of them are shown.
        training_logs: stage ("detection", "reid" or any other heading) -> Detectron2's
            `metrics.json` of that stage, in the order in which they are shown.
        floor, untrained: `metrics.json` of the colour-histogram matcher and of the same network
            before its re-id training; None is shown as "not run".
        untrained_title: what the latter is called, if it is another network than that.
        facts: what else a reader wants to know (command, hardware, time): label -> text.
        image_root: folder of the pictures, if they are not where `file_name` says (`find_image`).

    Raises UserError, naming file and field, for an input that is missing or not as described.
    """
    metrics = read_json(results, "metrics")
    references = {
        untrained_title: None if untrained is None else read_json(untrained, "metrics"),
        FLOOR: None if floor is None else read_json(floor, "metrics"),
    }
    content = load_queries(queries_file)
    # a query whose person is nowhere in its gallery can neither be found nor missed
    ranking = [query for query in content["queries"] if query["num_gt"]]
    ranking.sort(key=lambda query: (-query["ap"], query["query_id"]))
    shown_at = select_queries(range(len(ranking)))
    shown = [ranking[i] for i in shown_at]

    def read(file_name: str):
        return read_image(find_image(file_name, image_root))

    page = (
        template_environment()
        .get_template("report.html")
        .render(
            title=title,
            facts=facts or {},
            content=content,
            counts=metrics.get("counts", {}),
            has_multi_view="search_multi_view" in metrics,
            num_ranked=len(ranking),
            headline=headline(metrics, references),
            tables=result_tables(metrics, references),
            charts=[
                (STAGE_TITLES.get(stage, stage), chart)
                for stage, log in (training_logs or {}).items()
                for chart in curves.training_charts(curves.read_training_log(log))
            ],
            num_hardest=NUM_HARDEST if len(shown) < len(ranking) else 0,
            ranking_chart=curves.ranking_chart([query["ap"] for query in ranking], shown_at),
            cards=[query_card(query, read) for query in shown],
        )
    )
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")
    logger.info("Report with %d queries, %.1f MB: %s", len(shown), len(page) / 1e6, path)
    return path


def headline(metrics: Record, references: Mapping[str, Record | None]) -> list[Record]:
    """The figures to see first: [{"title", "bars": [{"label", "width", "text", "ours"}]}]."""

    def bar(label: str, source: Record | None, group: str, key: str) -> Record:
        value = (source or {}).get(group, {}).get(key)
        width = 0 if value is None or not math.isfinite(value) else value
        text = "not run" if source is None else percent(value)
        return {"label": label, "width": width, "text": text, "ours": source is metrics}

    networks = {TRAINED: metrics, **references}
    tiles = [
        {"title": title, "bars": [bar(name, m, "search", key) for name, m in networks.items()]}
        for title, key in (("Search mAP", "mAP"), ("Search top-1", "top1"))
    ]
    figures = {"Average precision": "AP", "Recall": "recall"}
    bars = [bar(label, metrics, "detection", key) for label, key in figures.items()]
    return [*tiles, {"title": "Detection, IoU 0.5", "bars": bars}]


def result_tables(metrics: Record, references: Mapping[str, Record | None]) -> list[Record]:
    """The tables of results: search with a part for each gallery, and detection.

    [{"caption", "columns": [heading], "parts": [(heading, rows)]}], a row being (label, its cells
    or None if it was not run, whether it is the trained network's).
    """

    def row(label: str, source: Record | None, group: str, keys: Mapping[str, str]) -> tuple:
        values = {} if source is None else source.get(group, {})
        cells = None if source is None else [percent(values.get(key)) for key in keys]
        return label, cells, source is metrics

    keys = {"mAP": "mAP", "top1": "top-1", "top5": "top-5", "top10": "top-10"}
    groups: dict[str, list[tuple[str, str]]] = {}  # plain name -> (name, label) of its variants
    for group in metrics:
        if group.startswith("search"):
            plain, label = _variant(group)
            groups.setdefault(plain, []).append((group, label))
    parts = []
    for plain, variants in groups.items():
        rows = [row(label, metrics, group, keys) for group, label in variants]
        rows += [row(name, other, plain, keys) for name, other in references.items()]
        parts.append((_gallery(plain, metrics), rows))
    tables = [{"caption": "Search", "columns": list(keys.values()), "parts": parts}]
    if "detection" in metrics:
        keys = {"AP": "AP", "recall": "recall"}
        rows = [row(TRAINED, metrics, "detection", keys)]
        # the floor has no detector
        networks = {name: other for name, other in references.items() if name != FLOOR}
        rows += [row(name, other, "detection", keys) for name, other in networks.items()]
        parts = [("All persons, IoU 0.5", rows)]
        tables.append({"caption": "Detection", "columns": list(keys.values()), "parts": parts})
    return tables


def _variant(group: str) -> tuple[str, str]:
    """A search task's name without the variant, and the variant in words."""
    match = SUFFIX.search(group)
    words = [text.format(match[key]) for key, text in VARIANT_WORDS.items() if match[key]]
    return group[: match.start()], TRAINED + (", with " if words else "") + " and ".join(words)


def _gallery(group: str, metrics: Record) -> str:
    """The heading of a search task: its protocol, which "search" alone leaves unsaid."""
    main = next(iter(metrics.get("counts", {}).get("queries", {})), "main")
    protocol = group[len("search_") :] or main
    return f"{protocol.replace('_', ' ').capitalize()} gallery"


def percent(value: float | None) -> str:
    """A figure that is in percent already, to one decimal; "n/a" for none or NaN."""
    return "n/a" if value is None or not math.isfinite(value) else f"{value:.1f}"

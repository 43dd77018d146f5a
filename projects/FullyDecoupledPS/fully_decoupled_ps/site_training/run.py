"""The whole work: look at the data, choose, evaluate, train in two stages, evaluate, compare."""

import logging
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from detectron2.config import CfgNode

from ..ready import DEFAULT_NETWORK
from ..utils.files import tell_unwritable, write_json
from ..visualization.report import write_report
from . import outcome
from .data import SiteData, image_roots, registered_site
from .options import DETECTION, REID, check_options, device_of, pairs_of
from .plan import Plan, Planner
from .stages import (
    Job,
    duration,
    evaluate,
    evaluation_folder,
    seconds_per_test_frame,
    train_stage,
    try_batch,
)
from .start import find_start, remove_joined, weights_of_stage_reid
from .state import State

logger = logging.getLogger(__name__)

DETECTOR = ("auto", "tune", "freeze")
BEFORE, AFTER = "before", "after"
RESULTS, REPORT = "results.json", "report.html"


@dataclass(frozen=True)
class SiteRequest:
    """
    Attributes:
        train_json, test_json: files of the format in datasets/README.md.
        output: folder; what is in it of the same request is gone on with.
        image_root: of both files' pictures; None: each file's own folder.
        test_image_root: of the test set's, if it is another.
        start: as :func:`.start.find_start` takes it.
        detector: "tune", "freeze", or "auto": by the amount of data.
        ids_apart: equal ids in the two files are different persons.
        device: "cpu", "cuda" or "cuda:N"; "": a GPU if there is one.
        models_dir: of ready networks' files.
        opts: ``KEY VALUE`` pairs.
    """

    train_json: str
    test_json: str
    output: str
    image_root: str | None = None
    test_image_root: str | None = None
    start: str = DEFAULT_NETWORK
    detector: str = "auto"
    ids_apart: bool = False
    device: str = ""
    models_dir: str = ""
    opts: Sequence[str] = field(default_factory=tuple)


@dataclass(frozen=True)
class SiteOutcome:
    """
    Attributes:
        run: folder of the trained network, which applications take.
        start: the network that it started from, as it was named.
        is_worse: than the start, by more than chance explains.
        table: figures before and after, as text.
        verdict: in one sentence.
        report: the page with pictures.
    """

    run: Path
    start: str
    is_worse: bool
    table: str
    verdict: str
    report: Path


def train_for_site(request: SiteRequest) -> SiteOutcome:
    """Do what is not done yet of a request.

    Raises:
        UserError: a mistake in the request, before any long work; or what ended the training.
    """
    device, output = device_of(request.device), os.path.abspath(request.output)
    roots = request.image_root, request.test_image_root
    data_of = (request.train_json, request.test_json, *roots)
    image_roots(*data_of)  # before a network is downloaded
    start = find_start(request.start, request.models_dir)
    check_options(start.cfg, request.opts)
    with registered_site(*data_of, ids_apart=request.ids_apart) as data:
        state = State(
            output,
            {
                **data.identity,
                "start": start.identity,
                "choice of --detector": request.detector,
                "set of KEY VALUE": " ".join(request.opts) or "none",
            },
        )
        with tell_unwritable(output):
            os.makedirs(output, exist_ok=True)
        job = Job(output, start, list(request.opts), device)
        _tell_data(data)
        if state.plan is None:
            state.begin(_make_plan(job, data, request.detector))
        _tell_plan(state.plan, device, state.done)
        _do_steps(job, state)
        return _conclude(job, state)


def _make_plan(job: Job, data: SiteData, detector: str) -> Plan:
    logger.info("Trying a few steps, to see how long they take ...")

    def attempt(stage: str, cfg: CfgNode, batch: int) -> tuple[int, float]:
        return try_batch(job, stage, cfg, batch)

    plan = Planner(job.start.cfg, data.train, job.opts, job.device).plan(detector, attempt)
    before, after = (
        data.test.frames * seconds_per_test_frame(job, config, opts)
        for config, opts in ((job.start.cfg.dump(), _of_test(job)), (plan.config, job.opts))
    )
    plan.seconds = {BEFORE: before, **plan.seconds, AFTER: after}
    return plan


def _of_test(job: Job) -> list[str]:
    """The options that hold for the start too, which is evaluated as it is: those of how."""
    how = [pair for pair in pairs_of(job.opts) if pair[0].startswith(("TEST.", "DATALOADER."))]
    return [text for pair in how for text in pair]


def _do_steps(job: Job, state: State) -> None:
    config = state.plan.config
    tuned = os.path.join(job.folder, DETECTION) if DETECTION in state.plan.stages else None

    def before():
        evaluate(job, job.start.cfg.dump(), _before(job), job.start.weights, _of_test(job))

    def reid():
        weights = weights_of_stage_reid(job.start, tuned)
        train_stage(job, REID, config, weights)
        remove_joined(weights)

    def after():
        final = ["MODEL.WEIGHTS", os.path.join(job.folder, REID, "model_final.pth")]
        evaluate(job, config, job.folder, final, job.opts)

    steps = {
        BEFORE: before,
        DETECTION: lambda: train_stage(job, DETECTION, config, job.start.weights),
        REID: reid,
        AFTER: after,
    }
    if tuned is None:
        del steps[DETECTION]
    for number, (name, step) in enumerate(steps.items(), 1):
        if name in state.done:
            continue
        logger.info("[%d/%d] %s", number, len(steps), STEPS[name])
        step()
        state.finish(name)


STEPS = {
    BEFORE: "Evaluating the network as it is, before the training",
    DETECTION: "Tuning the detector",
    REID: "Training the re-id part, beside the frozen detector",
    AFTER: "Evaluating the trained network",
}


def _before(job: Job) -> str:
    return os.path.join(job.folder, BEFORE)


# --- what is told ------------------------------------------------------------------------------


def _tell_data(data: SiteData) -> None:
    logger.info("To train on: %s", data.train)
    asked = ", ".join(f"{n} queries ({name})" for name, (n, _) in data.test.queries.items())
    logger.info("To test with: %s; %s that have somebody to find", data.test, asked)
    for warning in data.warnings:
        logger.warning("WARNING: %s", warning)


def _tell_plan(plan: Plan, device: str, done: Sequence[str]) -> None:
    logger.info("Chosen for this data on this machine; KEY VALUE changes it:")
    for line in plan.table().splitlines():
        logger.info("  %s", line)
    if done:
        logger.info("Done already: %s", ", ".join(done))
    left = {name: seconds for name, seconds in plan.seconds.items() if name not in done}
    if left:
        parts = ", ".join(f"{name} {duration(seconds)}" for name, seconds in left.items())
        logger.info("This takes about %s on %s (%s)", duration(sum(left.values())), device, parts)


def _conclude(job: Job, state: State) -> SiteOutcome:
    before, after = evaluation_folder(_before(job)), evaluation_folder(job.folder)
    rows = outcome.compare(before, after)
    is_worse, verdict = outcome.verdict(rows)
    run = Path(job.folder, REID)
    facts = {
        "Started from": job.start.location,
        "Detector": "tuned" if DETECTION in state.plan.stages else "as it was",
        "Outcome": verdict,
        "Versions": f"Python {platform.python_version()}, PyTorch {torch.__version__}",
    }
    logs = {stage: Path(job.folder, stage, "metrics.json") for stage in state.plan.stages}
    report = write_report(
        Path(job.folder, REPORT),
        title="A network for this site",
        results=after / "metrics.json",
        queries_file=after / "queries_full.json",
        training_logs={stage: log for stage, log in logs.items() if log.exists()},
        untrained=before / "metrics.json",
        untrained_title="The network that it started from",
        facts=facts,
    )
    write_json(
        Path(job.folder, RESULTS),
        {
            "version": 1,
            "run": str(run),
            "start": job.start.location,
            "worse": is_worse,
            "verdict": verdict,
            "figures": [row.record() for row in rows],
        },
    )
    return SiteOutcome(run, job.start.location, is_worse, outcome.table(rows), verdict, report)

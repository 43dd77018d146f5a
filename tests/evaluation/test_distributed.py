"""The evaluator over several processes."""

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.utils import comm

from fully_decoupled_ps.evaluation import PersonSearchEvaluator
from tests.processes import run_processes

from .test_evaluator import NAME, dataset, dicts, model_io, outputs, protocols, run

__all__ = ["dataset"]  # a fixture

# Which frames each process predicts. Padding repeats a frame; one process gets none.
SHARES = {
    "one process": [[0, 1, 2, 3]],
    "two, the last batch padded": [[0, 2, 3], [1, 3, 0]],
    "three, one without an image": [[3, 1], [], [0, 2]],
}


def evaluate(shares):
    """The results of this process, which has predicted its share."""
    DatasetCatalog.register(NAME, dicts)
    MetadataCatalog.get(NAME).set(protocols_fn=protocols)
    evaluator = PersonSearchEvaluator(NAME)
    evaluator.reset()
    for i in shares[comm.get_rank()]:
        frame_input, output = model_io(dicts()[i], outputs()[i])
        evaluator.process([frame_input], [output])
    return evaluator.evaluate()


@pytest.mark.parametrize("shares", SHARES.values(), ids=list(SHARES))
def test_any_number_of_processes_gives_the_same_metrics(dataset, tmp_path, shares):
    first, *others = run_processes(evaluate, len(shares), tmp_path, shares)
    alone = run(PersonSearchEvaluator(dataset, distributed=False))
    assert first == alone
    assert alone["search"]["mAP"] > 0
    assert all(result == {} for result in others), "only the first process reports"

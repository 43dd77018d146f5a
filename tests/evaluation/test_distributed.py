"""The evaluator over several processes; see :func:`_process` for what one of them does."""

import datetime

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.utils import comm

from fully_decoupled_ps.evaluation import PersonSearchEvaluator

from .test_evaluator import NAME, dataset, dicts, model_io, outputs, protocols, run

__all__ = ["dataset"]  # a fixture

# Which frames each process predicts. Padding repeats a frame; one process gets none.
SHARES = {
    "one process": [[0, 1, 2, 3]],
    "two, the last batch padded": [[0, 2, 3], [1, 3, 0]],
    "three, one without an image": [[3, 1], [], [0, 2]],
}


def _process(rank, folder):
    """Process ``rank`` of three evaluates its share of every case; process 0 keeps the results."""
    torch.set_num_threads(1)
    DatasetCatalog.register(NAME, dicts)
    MetadataCatalog.get(NAME).set(protocols_fn=protocols)
    results = []
    for number, shares in enumerate(SHARES.values()):
        if rank < len(shares):
            dist.init_process_group(
                "gloo",
                init_method=f"file://{folder}/store{number}",
                rank=rank,
                world_size=len(shares),
                timeout=datetime.timedelta(seconds=120),
            )
            evaluator = PersonSearchEvaluator(NAME)
            evaluator.reset()
            for i in shares[rank]:
                frame_input, output = model_io(dicts()[i], outputs()[i])
                evaluator.process([frame_input], [output])
            results.append(evaluator.evaluate())
            dist.destroy_process_group()
            comm._get_global_gloo_group.cache_clear()  # else the next case meets this one's
    torch.save(results, f"{folder}/results{rank}.pt")


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """The results of every process: per case those of its own."""
    folder = tmp_path_factory.mktemp("distributed")
    mp.spawn(_process, args=(str(folder),), nprocs=3)
    return [torch.load(folder / f"results{rank}.pt", weights_only=False) for rank in range(3)]


@pytest.mark.parametrize("number", range(len(SHARES)), ids=list(SHARES))
def test_any_number_of_processes_gives_the_same_metrics(dataset, results, number):
    alone = run(PersonSearchEvaluator(dataset, distributed=False))
    assert results[0][number] == alone
    assert alone["search"]["mAP"] > 0


def test_only_the_first_process_reports(results):
    assert all(result == {} for result in results[1] + results[2])

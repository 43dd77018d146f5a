"""The loader of evaluation, whose batches are of frames of one size."""

from collections.abc import Sequence
from typing import Any

from detectron2.data import DatasetFromList, MapDataset, get_detection_dataset_dicts
from detectron2.data.samplers import InferenceSampler

from .image_loader import ImageLoader

__all__ = ["build_person_search_test_loader"]


def build_person_search_test_loader(cfg, dataset_name: str, mapper) -> ImageLoader:
    """Detectron2's test loader, whose batches are of ``TEST.IMS_PER_BATCH`` frames of one size.

    (Detectron2 v0.6 has batches of one.) Frames are decoded by ``DATALOADER.NUM_WORKERS``
    processes; of several processes each evaluates a part of them. Those of one size come in the
    order of the dataset.

    Args:
        cfg: a config with this project's keys.
        dataset_name: a registered dataset.
        mapper: from a dataset dict to the network's input.

    Returns:
        ImageLoader: of lists of at most ``TEST.IMS_PER_BATCH`` inputs.
    """
    dicts = get_detection_dataset_dicts(dataset_name, filter_empty=False)
    dataset = MapDataset(DatasetFromList(dicts, copy=False), mapper)
    return ImageLoader(
        dataset,
        batch_sampler=same_size_batches(dicts, cfg.TEST.IMS_PER_BATCH),
        num_workers=cfg.DATALOADER.NUM_WORKERS,
    )


def same_size_batches(dicts: Sequence[dict[str, Any]], batch_size: int) -> list[list[int]]:
    """Batches of indices of frames that have one size, so that the network runs on them at once.

    This process's share of all frames, each once; a size's last batch may be smaller.

    Args:
        dicts: dataset dicts with "width" and "height"
        batch_size: largest size of a batch
    """
    waiting: dict[tuple[int, int], list[int]] = {}
    batches: list[list[int]] = []
    for index in InferenceSampler(len(dicts)):
        size = dicts[index]["width"], dicts[index]["height"]
        batch = waiting.setdefault(size, [])
        if not batch:
            batches.append(batch)
        batch.append(index)
        if len(batch) == batch_size:
            del waiting[size]
    return batches

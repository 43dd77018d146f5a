"""The loader of evaluation, with several frames a batch."""

from detectron2.data import DatasetFromList, MapDataset, get_detection_dataset_dicts
from detectron2.data.build import trivial_batch_collator
from detectron2.data.samplers import InferenceSampler
from torch.utils.data import DataLoader

__all__ = ["build_person_search_test_loader"]


def build_person_search_test_loader(cfg, dataset_name: str, mapper) -> DataLoader:
    """Detectron2's test loader, whose batches are of ``TEST.IMS_PER_BATCH`` frames.

    (Detectron2 v0.6 has batches of one.) Frames are decoded by ``DATALOADER.NUM_WORKERS``
    processes, in the order of the dataset; of several processes each evaluates a part of them.

    Args:
        cfg: a config with this project's keys.
        dataset_name: a registered dataset.
        mapper: from a dataset dict to the network's input.

    Returns:
        DataLoader: of lists of at most ``TEST.IMS_PER_BATCH`` inputs.
    """
    dicts = get_detection_dataset_dicts(dataset_name, filter_empty=False)
    dataset = MapDataset(DatasetFromList(dicts, copy=False), mapper)
    return DataLoader(
        dataset,
        batch_size=cfg.TEST.IMS_PER_BATCH,
        sampler=InferenceSampler(len(dataset)),
        num_workers=cfg.DATALOADER.NUM_WORKERS,
        collate_fn=trivial_batch_collator,
    )

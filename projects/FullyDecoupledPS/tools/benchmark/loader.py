"""How fast the training images come from the disk, beside how fast a network takes them."""

import itertools
import tempfile
import time
from pathlib import Path

from detectron2.data import DatasetCatalog, MetadataCatalog

from fully_decoupled_ps.data import TrainLoader, register_prw
from fully_decoupled_ps.dataset_tools.synthetic import SyntheticSpec, make_synthetic_dataset

from .networks import benchmark_config

NAME = "benchmark_loader"
FULL_HD = SyntheticSpec(
    train_frames=32, test_frames=6, train_ids=8, test_ids=2, width=1920, height=1080
)


def loader_images_per_second(batch_size: int, size: tuple[int, int], workers: int) -> float:
    """Decoding, flipping and resizing JPEG frames of 1920 x 1080, as in training.

    Args:
        batch_size: images.
        size: height and width that they are scaled into.
        workers: processes that decode.
    """
    with tempfile.TemporaryDirectory() as folder:
        make_synthetic_dataset(Path(folder) / "frames", FULL_HD)
        register_prw(NAME, str(Path(folder) / "frames"), "train")
        try:
            return _measure(batch_size, size, workers)
        finally:
            DatasetCatalog.remove(NAME)
            MetadataCatalog.remove(NAME)


def _measure(batch_size: int, size: tuple[int, int], workers: int, batches: int = 60) -> float:
    opts = [
        *("DATASETS.TRAIN", (NAME,), "DATALOADER.NUM_WORKERS", workers),
        *("SOLVER.IMS_PER_BATCH", batch_size),
        *("INPUT.MIN_SIZE_TRAIN", (size[0],), "INPUT.MAX_SIZE_TRAIN", size[1]),
    ]
    cfg = benchmark_config("", "detection", opts)
    stream = iter(TrainLoader(cfg))
    for _ in itertools.islice(stream, 2 * max(workers, 1)):  # what was loaded ahead
        pass
    start = time.perf_counter()
    for _ in itertools.islice(stream, batches):
        pass
    return batch_size * batches / (time.perf_counter() - start)

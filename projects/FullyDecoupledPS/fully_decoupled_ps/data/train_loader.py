"""The training loader: batches from any iteration on, in an order that checkpoints restore."""

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode, configurable
from detectron2.data import DatasetFromList, get_detection_dataset_dicts
from detectron2.data.detection_utils import check_metadata_consistency
from detectron2.data.samplers import (
    RandomSubsetTrainingSampler,
    RepeatFactorTrainingSampler,
    TrainingSampler,
)
from detectron2.utils import comm
from torch.utils.data import Sampler

from ..errors import UserError
from .dataset_mapper import PersonSearchMapper
from .fingerprint import fingerprint
from .ignore_regions import with_regions_apart
from .image_loader import ImageLoader
from .train_stream import SeededItems, batch_stream

logger = logging.getLogger(__name__)

# From a seed to an endless stream of indices, the same whenever it is made anew.
BuildSampler = Callable[[int], Sampler]


def _repeat_factor_sampler(cfg: CfgNode, dicts: list[dict]) -> BuildSampler:
    factors = RepeatFactorTrainingSampler.repeat_factors_from_category_frequency(
        dicts, cfg.DATALOADER.REPEAT_THRESHOLD
    )
    return lambda seed: RepeatFactorTrainingSampler(factors, seed=seed)


def _random_subset_sampler(cfg: CfgNode, dicts: list[dict]) -> BuildSampler:
    size, ratio = len(dicts), cfg.DATALOADER.RANDOM_SUBSET_RATIO
    return lambda seed: RandomSubsetTrainingSampler(
        size, ratio, seed_shuffle=seed, seed_subset=seed
    )


def _training_sampler(cfg: CfgNode, dicts: list[dict]) -> BuildSampler:
    size = len(dicts)  # the function that is returned must not keep the dicts in memory
    return lambda seed: TrainingSampler(size, seed=seed)


# By the names that DATALOADER.SAMPLER_TRAIN has for Detectron2's samplers.
SAMPLERS: dict[str, Callable[[CfgNode, list[dict]], BuildSampler]] = {
    "TrainingSampler": _training_sampler,
    "RepeatFactorTrainingSampler": _repeat_factor_sampler,
    "RandomSubsetTrainingSampler": _random_subset_sampler,
}


class TrainLoader:
    """An endless iterable of batches, lists of the mapper's dicts.

    Attributes:
        first_iteration: whose batch comes first; set by :meth:`start_at`.
        seed: of the stream.
        fingerprint: of the frames, see :func:`.fingerprint.fingerprint`.
        has_ignore_regions: whether a frame has regions that a detector is to ignore.
        num_left_out: items replaced so far because their images can't be read, in this process.
        files_left_out: these images.
        notes: of images that were read, what the mapper's "image_note" says of them, by file.
    """

    @configurable
    def __init__(
        self,
        dicts: list[dict[str, Any]],
        *,
        dataset_names: Sequence[str],
        mapper: Callable[[dict[str, Any]], dict[str, Any] | None],
        build_sampler: BuildSampler,
        total_batch_size: int,
        aspect_ratio_grouping: bool = True,
        num_workers: int = 0,
        seed: int | None = None,
    ) -> None:
        """
        Args:
            dicts: dataset dicts
            dataset_names: that the dicts are from
            mapper: see :class:`SeededItems`
            build_sampler: makes an endless sampler of the dicts' indices from a seed
            total_batch_size: of all processes
            aspect_ratio_grouping: put no wide images with high ones into a batch; the dicts need
                "width" and "height"
            num_workers: processes that load images
            seed: None draws one, the same in all processes, which must then all be here

        Raises:
            UserError: the processes can't share the batch size evenly
        """
        world_size = comm.get_world_size()
        if total_batch_size <= 0 or total_batch_size % world_size:
            raise UserError(
                f"SOLVER.IMS_PER_BATCH is {total_batch_size}, which {world_size} process(es) can't "
                f"share evenly; set it to a multiple of {world_size}"
            )
        self.batch_size = total_batch_size // world_size
        self.num_workers = num_workers
        self.mapper = mapper
        self.build_sampler = build_sampler
        self._seed_is_drawn = seed is None
        self.seed = comm.shared_random_seed() if seed is None else seed
        self.first_iteration = 0
        self.fingerprint = fingerprint(dataset_names, dicts)
        dicts = [with_regions_apart(d) for d in dicts]
        self.has_ignore_regions = any(d.get("ignore_regions") for d in dicts)
        self.num_left_out = 0
        self.files_left_out: set[str] = set()
        self.notes: dict[str, str] = {}
        self.groups = None
        if aspect_ratio_grouping:
            self.groups = np.array([d["width"] > d["height"] for d in dicts], dtype=np.uint8)
        self.dicts = DatasetFromList(dicts, copy=False)

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        check_metadata_consistency("thing_classes", cfg.DATASETS.TRAIN)
        dicts = get_detection_dataset_dicts(
            cfg.DATASETS.TRAIN,
            filter_empty=cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS,
            # it would make a table of the classes, of which there is one, at 0.1 ms per frame
            check_consistency=False,
        )
        return {
            "dicts": dicts,
            "dataset_names": cfg.DATASETS.TRAIN,
            "mapper": PersonSearchMapper(cfg, is_train=True),
            "build_sampler": SAMPLERS[cfg.DATALOADER.SAMPLER_TRAIN](cfg, dicts),
            "total_batch_size": cfg.SOLVER.IMS_PER_BATCH,
            "aspect_ratio_grouping": cfg.DATALOADER.ASPECT_RATIO_GROUPING,
            "num_workers": cfg.DATALOADER.NUM_WORKERS,
            "seed": cfg.SEED if cfg.SEED >= 0 else None,
        }

    def state_dict(self) -> dict[str, Any]:
        """What the stream depends on, beside the data and the iteration; numbers."""
        return {
            "seed": self.seed,
            "world_size": comm.get_world_size(),
            "batch_size": self.batch_size,
            "aspect_ratio_grouping": self.groups is not None,
        }

    def start_at(self, iteration: int, state: dict[str, Any] | None = None) -> None:
        """Begin at an iteration, before the first batch is asked for.

        Args:
            iteration: whose batch comes first.
            state: what :meth:`state_dict` gave in the run that is gone on with. The seed that was
                drawn then is taken; a seed that is given now stays. Batches of another size, or in
                another number of processes, are those of another stream; the log says so.
        """
        self.first_iteration = iteration
        if state is None:
            return
        if self._seed_is_drawn:
            self.seed = state["seed"]
        changed = [f"{k} {state[k]} -> {v}" for k, v in self.state_dict().items() if v != state[k]]
        if changed:
            logger.warning(
                "The order of the training data is another than before (%s)", ", ".join(changed)
            )

    def __iter__(self) -> Iterator[list[dict[str, Any]]]:
        # A generator: Detectron2 v0.6 asks for it before the iteration to resume from is known.
        for batch in self._data_loader():
            for item in batch:
                self._count(item.pop("left_out", ()))
                if "image_note" in item:
                    self._note(item["file_name"], item.pop("image_note"))
            yield batch

    def _data_loader(self) -> ImageLoader:
        stream = batch_stream(
            self.build_sampler(self.seed), self.batch_size, self.groups, self.first_iteration
        )
        return ImageLoader(
            SeededItems(self.dicts, self.mapper, self.seed, self.groups),
            batch_sampler=stream,
            num_workers=self.num_workers,
            # else a number is drawn from the generator that the model draws from
            generator=torch.Generator().manual_seed(self.seed),
        )

    def _count(self, files: Sequence[str]) -> None:
        self.num_left_out += len(files)
        for file in files:
            if file not in self.files_left_out:
                self.files_left_out.add(file)
                logger.warning("image '%s' can't be read and is left out of the training", file)

    def _note(self, file: str, note: str) -> None:
        if file not in self.notes:
            self.notes[file] = note
            logger.warning("image '%s' %s", file, note)

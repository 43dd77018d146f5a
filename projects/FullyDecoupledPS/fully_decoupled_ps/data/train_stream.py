"""
The stream of training items: which frames make up each batch, and each item's own random numbers.

What iteration k trains on is a function of the seed, the process's rank, the number of processes,
the batch size and k alone, however many worker processes load the images.
"""

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from detectron2.utils import comm
from torch.utils.data import Dataset

from ..errors import UserError

# Frames tried in the place of one that can't be read.
MAX_REPLACEMENTS = 100
# What random numbers are for: those of items and of iterations must differ.
ITEM, ITERATION = 1, 2


class Place(NamedTuple):
    """One item of the stream."""

    position: int  # in the stream of all processes together
    index: int  # of the frame


def batch_stream(
    sampler: Iterable[int],
    batch_size: int,
    groups: np.ndarray | None = None,
    first_batch: int = 0,
) -> Iterator[list[Place]]:
    """Endless batches of places, for `DataLoader(batch_sampler=)`. No image is decoded for them.

    Args:
        sampler: an endless stream of indices, of which each rank is given every world_size-th
        batch_size: of this process
        groups: (number of frames,) numbers; the frames of a batch have the same one
        first_batch: how many batches to skip
    """
    rank, world_size = comm.get_rank(), comm.get_world_size()
    waiting: dict[int, list[Place]] = {}
    batch_number = 0
    for i, index in enumerate(sampler):
        group = 0 if groups is None else int(groups[index])
        batch = waiting.setdefault(group, [])
        batch.append(Place(rank + i * world_size, index))
        if len(batch) < batch_size:
            continue
        del waiting[group]
        if batch_number >= first_batch:
            yield batch
        batch_number += 1


class SeededItems(Dataset):
    """Maps places to the model's inputs, each augmented with random numbers of its own: they come
    from the seed and the place, not from what the loading process has drawn before.
    """

    def __init__(
        self,
        dicts: Sequence[dict[str, Any]],
        mapper: Callable[[dict[str, Any]], dict[str, Any] | None],
        seed: int,
        groups: np.ndarray | None = None,
    ) -> None:
        """
        Args:
            dicts: dataset dicts
            mapper: returns None for a frame that is to be left out. Another frame, drawn from
                those of its group, then takes its place, and names it under "left_out".
            seed, groups: as for the stream
        """
        self.dicts = dicts
        self.mapper = mapper
        self.seed = seed
        self.groups = groups

    def __len__(self) -> int:
        return len(self.dicts)

    def __getitem__(self, place: Place) -> dict[str, Any]:
        with own_random_numbers(self.seed, place.position):
            return self._item(place.index)

    def _item(self, index: int) -> dict[str, Any]:
        left_out: list[str] = []
        while len(left_out) <= MAX_REPLACEMENTS:
            dataset_dict = self.dicts[index]
            item = self.mapper(dataset_dict)
            if item is not None:
                return {**item, "left_out": left_out} if left_out else item
            left_out.append(dataset_dict["file_name"])
            index = int(np.random.choice(self._frames_like(index)))
        raise UserError(
            f"none of {len(left_out)} frames drawn for training can be read, '{left_out[0]}' and "
            f"'{left_out[1]}' among them; restore the image folder"
        )

    def _frames_like(self, index: int) -> np.ndarray:
        if self.groups is None:
            return np.arange(len(self.dicts))
        return np.flatnonzero(self.groups == self.groups[index])


@contextmanager
def own_random_numbers(*entropy: int) -> Iterator[None]:
    """Seeds the global generators of Python, NumPy and PyTorch (CPU), and restores them after."""
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    seeds = _seeds(ITEM, *entropy)
    random.seed(seeds[0])
    np.random.seed(seeds[1])
    torch.default_generator.manual_seed(seeds[2])  # torch.manual_seed would seed GPUs as well
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])


def seed_iteration(seed: int, iteration: int) -> None:
    """Seeds all global generators, those of GPUs too, for one iteration of this process."""
    seeds = _seeds(ITERATION, seed, comm.get_rank(), iteration)
    random.seed(seeds[0])
    np.random.seed(seeds[1])
    torch.manual_seed(seeds[2])


def _seeds(*entropy: int) -> list[int]:
    """One seed for each library, of 32 bits, which is what NumPy takes."""
    return np.random.SeedSequence(entropy).generate_state(3).tolist()

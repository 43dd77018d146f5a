"""The training stream is a function of seed, rank, processes, batch size and iteration."""

import itertools
import random

import numpy as np
import pytest
import torch
from detectron2.config import get_cfg
from detectron2.data.samplers import TrainingSampler
from detectron2.utils import comm

from fully_decoupled_ps import UserError, add_fully_decoupled_ps_config
from fully_decoupled_ps.data import TrainLoader, seed_iteration
from fully_decoupled_ps.data.train_loader import SAMPLERS
from fully_decoupled_ps.data.train_stream import batch_stream, own_random_numbers

WIDE = [True, False, False, True, True, False, True]
DICTS = [
    {
        "file_name": f"{i}.jpg",
        "image_id": i,
        "width": 90 if wide else 60,
        "height": 70,
        "annotations": [{"person_id": i % 3, "category_id": 0}],
    }
    for i, wide in enumerate(WIDE)
]


def draw(d):
    """A mapper that shows which frame it got, and draws from all three libraries."""
    drawn = (random.random(), float(np.random.uniform()), float(torch.rand(())))
    return {"image_id": d["image_id"], "drawn": drawn}


def make(**kwargs):
    arguments = {
        "dataset_names": ["made_up"],
        "mapper": draw,
        "build_sampler": lambda seed: TrainingSampler(len(DICTS), seed=seed),
        "total_batch_size": 2,
        "seed": 11,
        **kwargs,
    }
    return TrainLoader(DICTS, **arguments)


def take(loader, n, first=0):
    loader.start_at(first)
    return list(itertools.islice(loader, n))


@pytest.fixture
def processes(monkeypatch):
    """Pretend to be one of several processes."""

    def be(rank, world_size):
        monkeypatch.setattr(comm, "get_rank", lambda: rank)
        monkeypatch.setattr(comm, "get_world_size", lambda: world_size)

    return be


@pytest.mark.parametrize("grouping", [True, False])
@pytest.mark.parametrize("workers", [0, 3])
def test_it_begins_at_any_iteration_as_if_it_had_run_until_there(grouping, workers):
    loader = make(aspect_ratio_grouping=grouping)
    whole = take(loader, 12)
    for first in (0, 1, 7):
        part = take(make(aspect_ratio_grouping=grouping, num_workers=workers), 5, first)
        assert part == whole[first : first + 5]
    assert take(make(aspect_ratio_grouping=grouping, seed=12), 12) != whole


def test_items_are_augmented_anew_every_time():
    drawn = [x["drawn"] for batch in take(make(), 30) for x in batch]
    for values in zip(*drawn, strict=True):
        assert len(set(values)) == 60


def test_frames_of_a_batch_are_all_wide_or_all_high():
    batches = take(make(), 40)
    assert all(len({WIDE[x["image_id"]] for x in batch}) == 1 for batch in batches)
    assert {x["image_id"] for batch in batches for x in batch} == set(range(7))
    mixed = take(make(aspect_ratio_grouping=False), 40)
    assert any(len({WIDE[x["image_id"]] for x in batch}) == 2 for batch in mixed)
    # without groups it is the sampler's own stream
    ids = [x["image_id"] for batch in mixed for x in batch]
    assert ids == list(itertools.islice(TrainingSampler(7, seed=11), 80))


def test_several_processes_share_the_stream_of_one(processes):
    """What a batch holds, and how it is augmented, is that of one process with the whole batch."""
    whole = take(make(total_batch_size=4, aspect_ratio_grouping=False), 5)
    shares = []
    for rank in range(2):
        processes(rank, 2)
        shares.append(take(make(total_batch_size=4, aspect_ratio_grouping=False), 5))
    for batch, first, second in zip(whole, *shares, strict=True):
        assert batch == [first[0], second[0], first[1], second[1]]


def test_a_batch_that_can_not_be_shared_evenly_is_refused(processes):
    processes(0, 3)
    with pytest.raises(UserError, match="IMS_PER_BATCH is 4, which 3 process.* multiple of 3"):
        make(total_batch_size=4)


def test_batches_before_the_first_one_cost_no_image():
    def fail(d):
        raise AssertionError("an image was loaded")

    stream = batch_stream(TrainingSampler(7, seed=0), 2, np.array(WIDE), first_batch=10_000)
    place = next(iter(stream))[0]
    assert place.position >= 20_000 - 2
    iter(make(mapper=fail))  # not before the first batch is asked for


def test_the_state_gives_back_a_seed_that_was_drawn_and_tells_of_changes(caplog):
    caplog.set_level("WARNING")
    before, after = make(seed=None), make(seed=None)
    assert before.seed != after.seed
    after.start_at(0, before.state_dict())
    assert after.seed == before.seed and not caplog.records
    assert take(before, 5) == take(after, 5)

    given = make(seed=5, total_batch_size=1)
    given.start_at(0, before.state_dict())
    assert given.seed == 5
    text = caplog.records[-1].getMessage()
    assert f"seed {before.seed} -> 5" in text and "batch_size 2 -> 1" in text


@pytest.mark.parametrize("name", SAMPLERS)
def test_detectron2_s_samplers_follow_the_seed(name):
    cfg = get_cfg()
    add_fully_decoupled_ps_config(cfg)
    cfg.DATALOADER.RANDOM_SUBSET_RATIO = 0.5
    build = SAMPLERS[name](cfg, DICTS)
    first, again, other = (list(itertools.islice(build(s), 20)) for s in (3, 3, 4))
    assert first == again != other


def test_random_numbers_are_given_back():
    def state():
        return torch.rand(()).item(), np.random.uniform()

    torch.manual_seed(0)
    np.random.seed(0)
    expected = state()
    torch.manual_seed(0)
    np.random.seed(0)
    with pytest.raises(KeyError), own_random_numbers(1, 2):
        inside = state()
        raise KeyError
    assert state() == expected != inside


def test_an_iteration_is_seeded_by_its_number_and_the_process(processes):
    def drawn(*args):
        seed_iteration(*args)
        return torch.rand(()).item(), np.random.uniform()

    assert drawn(0, 5) == drawn(0, 5)
    values = {drawn(0, 5), drawn(0, 6), drawn(1, 5)}
    processes(1, 2)
    assert len(values | {drawn(0, 5)}) == 4

"""Batches of one size, in which what belongs to a file stays in order."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from person_search.media.batches import WAITING_BATCHES, End, Restart, Sample, SizedBatches


def sample(path, number=0, size=(3, 4)):
    return Sample(path, number, 0.0, {"image": torch.zeros(3, *size)})


def batches_of(items, batch_size):
    batches = SizedBatches(batch_size)
    ready = [batch for item in items for batch in batches.add(item)]
    return [*ready, *batches.rest()]


def sizes(batch):
    return [tuple(x.inputs["image"].shape[1:]) for x in batch if isinstance(x, Sample)]


def test_mixed_pictures_come_in_full_batches_of_one_size():
    items = []
    for number, side in enumerate([5, 6, 5, 6, 5, 6, 5]):
        items += [sample(f"{number}", size=(4, side)), End(f"{number}", "")]
    found = [sizes(batch) for batch in batches_of(items, 2)]
    assert found == [[(4, 5)] * 2, [(4, 6)] * 2, [(4, 5)] * 2, [(4, 6)]]


def test_a_file_ends_behind_its_last_sample_and_restarts_before_the_next():
    items = [sample("v", 0), Restart("v"), sample("v", 1), sample("v", 2), End("v", "")]
    first, *others = items
    assert batches_of(items, 8) == [[first], [Restart("v")], others[1:]]


@given(
    files=st.lists(st.lists(st.sampled_from([1, 2, 3, "restart"]), max_size=6), max_size=12),
    batch_size=st.integers(1, 4),
)
def test_nothing_is_lost_and_every_files_order_stays(files, batch_size):
    items = []
    for path, frames in enumerate(files):
        for number, size in enumerate(frames):
            is_restart = size == "restart"
            items.append(Restart(str(path)) if is_restart else sample(str(path), number, (4, size)))
        items.append(End(str(path), ""))
    batches = SizedBatches(batch_size)
    found, waiting = [], 0
    for item in items:
        ready = list(batches.add(item))
        waiting += isinstance(item, Sample) - sum(len(sizes(batch)) for batch in ready)
        assert waiting <= WAITING_BATCHES * batch_size
        found += ready
    found += batches.rest()
    assert all(len(sizes(b)) <= batch_size and len(set(sizes(b))) <= 1 for b in found)
    in_order = [item for batch in found for item in batch]
    for path in map(str, range(len(files))):
        expected = [id(item) for item in items if item.path == path]
        assert [id(item) for item in in_order if item.path == path] == expected

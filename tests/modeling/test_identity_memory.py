"""The memory against plain Python: a dict of rows, and a list that is filled round and round."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from fully_decoupled_ps import UserError
from fully_decoupled_ps.modeling import IdentityMemory, OIMLoss
from tests.testing import unit_rows


def make_memory(num_ids=4, queue_size=3, dim=6, momentum=0.5):
    return IdentityMemory(
        num_ids=num_ids, queue_size=queue_size, feature_dim=dim, momentum=momentum
    )


def update_by_loop(table, queue, head, embeddings, person_ids, momentum):
    """One person after the other. Returns the new queue head."""
    for row, person_id in zip(embeddings, person_ids, strict=True):
        if person_id >= 0:
            blend = momentum * table[person_id] + (1 - momentum) * row
            table[person_id] = blend / blend.norm()
        elif len(queue):
            queue[head] = row
            head = (head + 1) % len(queue)
    return head


@settings(max_examples=60, deadline=None)
@given(
    batches=st.lists(st.lists(st.integers(-1, 3), max_size=12), min_size=1, max_size=4),
    queue_size=st.integers(0, 5),
    momentum=st.sampled_from([0.0, 0.5, 0.9]),
)
def test_update_equals_one_person_after_the_other(batches, queue_size, momentum):
    memory = make_memory(queue_size=queue_size, momentum=momentum)
    table, queue, head = torch.zeros(4, 6), torch.zeros(queue_size, 6), 0
    for seed, ids in enumerate(batches):
        embeddings = unit_rows(len(ids), 6, seed)
        memory.update(embeddings, torch.tensor(ids, dtype=torch.int64))
        head = update_by_loop(table, queue, head, embeddings, ids, momentum)
    torch.testing.assert_close(memory.lookup_table, table)
    assert torch.equal(memory.queue, queue)
    assert memory.queue_head.item() == head


def test_a_row_by_hand():
    """The first feature is taken whole; (1, 0) and (0, 1) then blend to 45 degrees."""
    memory = make_memory(dim=2)
    memory.update(torch.tensor([[1.0, 0.0]]), torch.tensor([2]))
    assert memory.lookup_table.tolist() == [[0, 0], [0, 0], [1, 0], [0, 0]]
    assert memory.seen().tolist() == [False, False, True, False]
    memory.update(torch.tensor([[0.0, 1.0]]), torch.tensor([2]))
    torch.testing.assert_close(memory.lookup_table[2], torch.tensor([0.5, 0.5]).sqrt())


def test_the_queue_goes_round():
    memory = make_memory(queue_size=3)
    rows = unit_rows(10, 6)
    unlabelled = torch.full((10,), -1)
    memory.update(rows[:2], unlabelled[:2])
    assert memory.queue_head.item() == 2
    memory.update(rows[2:4], unlabelled[:2])  # past the end: the second one replaces row 0
    assert memory.queue_head.item() == 1
    assert torch.equal(memory.queue, rows[[3, 1, 2]])
    memory.update(rows[4:7], unlabelled[:3])  # as many as there are rows
    assert memory.queue_head.item() == 1
    assert torch.equal(memory.queue, rows[[6, 4, 5]])


def test_of_more_persons_than_rows_the_last_ones_stay():
    memory = make_memory(queue_size=3)
    rows = unit_rows(8, 6)
    memory.update(rows[:1], torch.tensor([-1]))
    memory.update(rows[1:8], torch.full((7,), -1))
    assert torch.equal(memory.queue, rows[[6, 7, 5]])
    assert memory.queue_head.item() == 2


def test_a_memory_goes_on_where_it_was_saved(tmp_path):
    memory, loaded = make_memory(), make_memory()
    rows, ids = unit_rows(9, 6), torch.tensor([0, -1, 3, -1, -1, -1, 0, -1, 3])
    memory.update(rows[:5], ids[:5])
    torch.save(memory.state_dict(), tmp_path / "memory.pth")
    loaded.load_state_dict(torch.load(tmp_path / "memory.pth"))
    for each in (memory, loaded):
        each.update(rows[5:], ids[5:])
    assert set(memory.state_dict()) == {"lookup_table", "queue", "queue_head"}
    for name, value in memory.state_dict().items():
        assert torch.equal(value, loaded.state_dict()[name]), name
    assert loaded.queue_head.item() == 2


def test_update_takes_no_part_in_autograd():
    memory = make_memory()
    memory.update(unit_rows(2, 6, seed=1), torch.tensor([0, 1]))
    embeddings = unit_rows(3, 6).requires_grad_()
    ids = torch.tensor([0, -1, 1])
    loss = OIMLoss(temperature=0.1)(F.normalize(embeddings), ids, memory)["loss_oim"]
    (expected,) = torch.autograd.grad(loss, embeddings, retain_graph=True)
    memory.update(embeddings, ids)
    assert not any(buffer.requires_grad for buffer in memory.buffers())
    loss.backward()  # the rows that the loss saw, not the ones written since
    assert torch.equal(embeddings.grad, expected)


def test_half_precision_embeddings_are_kept_as_float32():
    memory = make_memory()
    memory.update(unit_rows(2, 6).half(), torch.tensor([0, -1]))
    assert memory.lookup_table.dtype == memory.queue.dtype == torch.float32
    assert memory.similarities(unit_rows(2, 6).half()).dtype == torch.float32


def test_occupancy():
    memory = make_memory(num_ids=4, queue_size=5)
    memory.update(unit_rows(5, 6), torch.tensor([0, -1, 2, 2, -1]))
    occupancy = {name: share.item() for name, share in memory.occupancy().items()}
    assert occupancy == {"lookup_seen": 0.5, "queue_fill": pytest.approx(0.4)}
    assert set(make_memory(queue_size=0).occupancy()) == {"lookup_seen"}


def test_a_table_of_no_rows_is_resized():
    memory = make_memory(num_ids=0)
    memory.resize_lookup_table(7)
    assert memory.lookup_table.shape == (7, 6)
    assert memory.state_dict()["lookup_table"].shape == (7, 6)


@pytest.mark.parametrize("momentum", [-0.1, 1.0])
def test_momentum_has_a_range(momentum):
    with pytest.raises(UserError, match="OIM.MOMENTUM"):
        make_memory(momentum=momentum)


def test_a_queue_has_no_negative_size():
    with pytest.raises(UserError, match="OIM.QUEUE_SIZE is -1; it must be 0"):
        make_memory(queue_size=-1)

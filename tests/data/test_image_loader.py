"""A user's mistake that reading an item finds out is told as it is, from any process."""

import pytest
from torch.utils.data import Dataset

from fully_decoupled_ps import UserError
from fully_decoupled_ps.data.image_loader import ImageLoader
from fully_decoupled_ps.data.images import ImageError


class Items(Dataset):
    def __init__(self, errors):
        self.errors = errors

    def __len__(self):
        return 6

    def __getitem__(self, index):
        if index in self.errors:
            raise self.errors[index]
        return index


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("error", [UserError("a: b\nc"), ImageError("a.jpg", "it is damaged")])
def test_an_error_keeps_its_message(workers, error):
    batches = iter(ImageLoader(Items({3: error}), batch_size=2, num_workers=workers))
    assert next(batches) == [0, 1]
    with pytest.raises(UserError) as raised:
        next(batches)
    assert str(raised.value) == str(error)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_fault_of_the_program_stays_one(workers):
    loader = ImageLoader(Items({3: KeyError("a")}), batch_size=2, num_workers=workers)
    assert len(loader) == 3
    with pytest.raises(KeyError):
        list(loader)

"""PyTorch's data loader, with a user's mistake told as it is, also from a worker process."""

from collections.abc import Iterator
from typing import Any

from detectron2.data.build import trivial_batch_collator
from torch.utils.data import DataLoader, Dataset

from ..errors import UserError


class ImageLoader(DataLoader):
    """Batches are lists of items; a UserError of reading one is raised with its own message.

    PyTorch would raise another, with the worker's traceback in its message: so workers return the
    error in the item's place, and it is raised here.
    """

    def __init__(self, dataset: Dataset, **kwargs: Any) -> None:
        """
        Args:
            dataset: of items.
            kwargs: as for PyTorch's.
        """
        super().__init__(_ErrorsAsItems(dataset), collate_fn=trivial_batch_collator, **kwargs)

    def __iter__(self) -> Iterator[list[Any]]:
        for batch in super().__iter__():
            for item in batch:
                if isinstance(item, UserError):
                    raise item
            yield batch


class _ErrorsAsItems(Dataset):
    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: Any) -> Any:
        try:
            return self.dataset[index]
        except UserError as error:
            # not the error itself: those of some subclasses can't be pickled
            return UserError(str(error)).with_traceback(error.__traceback__)

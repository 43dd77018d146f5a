"""The site's two data sets: checked, counted, and registered for the time of a training."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from detectron2.data import DatasetCatalog, MetadataCatalog

from ..data import register_person_search_json
from ..data.datasets.person_search_json import find_paths
from ..dataset_tools.inspection import Inspection, inspect_dataset
from ..dataset_tools.inspection.findings import ERROR, WARNING
from ..errors import UserError
from .amounts import Amounts, check_enough, count

TRAIN, TEST = "site_train", "site_test"
# Pictures of each set that are opened before the training; a missing one is found in any case.
PICTURES_OPENED = 200
MAX_IDS_SHOWN = 5


@dataclass(frozen=True)
class SiteData:
    """What is known of the two registered sets.

    Attributes:
        train, test: counts.
        warnings: what there is little of, and what an inspection found odd.
        identity: "training set" and "test set" -> what each is known by.
    """

    train: Amounts
    test: Amounts
    warnings: list[str]
    identity: dict[str, str]


def image_roots(
    train_json: str, test_json: str, image_root: str | None, test_image_root: str | None = None
) -> list[str]:
    """The folders of both files' pictures; arguments as in :func:`registered_site`.

    Raises:
        UserError: if a file or a folder is not there.
    """
    files = (train_json, image_root), (test_json, test_image_root or image_root)
    return [
        find_paths(file, root or os.path.dirname(os.path.abspath(file)))[1] for file, root in files
    ]


@contextmanager
def registered_site(
    train_json: str,
    test_json: str,
    image_root: str | None,
    test_image_root: str | None = None,
    *,
    ids_apart: bool = False,
) -> Iterator[SiteData]:
    """Register the sets as :data:`TRAIN` and :data:`TEST` within the block.

    Args:
        train_json, test_json: files of the format in datasets/README.md.
        image_root: of both; None: each file's own folder.
        test_image_root: of the test set, if it is another.
        ids_apart: equal ids in the two files are different persons.

    Raises:
        UserError: a file is missing or faulty, the sets share pictures or persons, or there is
            too little to train on or to test with.
    """
    roots = image_roots(train_json, test_json, image_root, test_image_root)
    _remove()
    try:
        register_person_search_json(TRAIN, train_json, roots[0], "train")
        register_person_search_json(TEST, test_json, roots[1], "test")
        yield _look_at(train_json, test_json, roots, ids_apart)
    finally:
        _remove()


def _remove() -> None:
    for name in (TRAIN, TEST):
        if name in DatasetCatalog.list():
            DatasetCatalog.remove(name)
            MetadataCatalog.remove(name)


def _look_at(train_json: str, test_json: str, roots: list[str], ids_apart: bool) -> SiteData:
    of_train = _inspect(TRAIN, train_json)
    of_test = _inspect(TEST, test_json, against=TRAIN)
    train, test = count(of_train), count(of_test)
    few = check_enough(train, test)
    if not ids_apart:
        _refuse_shared_ids(of_train, train_json, of_test, test_json)
    odd = [
        f"{file}: {finding.count or ''} {finding.message}".replace(":  ", ": ")
        for file, inspection in ((train_json, of_train), (test_json, of_test))
        for finding in inspection.findings.of(WARNING)
    ]
    identity = {
        title: f"{amounts} (SHA-256 {sha256_of(file)[:16]}, pictures in {os.path.realpath(root)})"
        for title, amounts, file, root in (
            ("training set", train, train_json, roots[0]),
            ("test set", test, test_json, roots[1]),
        )
    }
    return SiteData(train, test, [*few, *odd], identity)


def _inspect(name: str, file: str, against: str | None = None) -> Inspection:
    """What ``person-search check-dataset`` finds; its errors are refused."""
    inspection = inspect_dataset(name, against=against, sample=PICTURES_OPENED)
    errors = inspection.findings.of(ERROR)
    # such a set has too little, and is told so
    errors = [error for error in errors if error.kind != "queries.none_findable"]
    if errors:
        first = errors[0]
        message = f"{first.count or ''} {first.message}".strip().replace(TRAIN, "the training set")
        place = f" ({first.places[0]})" if first.places else ""
        more = f"; and {len(errors) - 1} more kinds of faults" * (len(errors) > 1)
        raise UserError(f"{file}: {message}{place}{more}; person-search check-dataset shows all")
    return inspection


def _refuse_shared_ids(train: Inspection, train_json: str, test: Inspection, test_json: str):
    """Who is trained on is found more easily, and the test would show too high figures."""
    ids, ids_of_test = (
        {a["person_id"] for d in inspection.dicts for a in d["annotations"]} - {-1}
        for inspection in (train, test)
    )
    shared = sorted(ids & ids_of_test)
    if shared:
        shown = ", ".join(map(str, shared[:MAX_IDS_SHOWN]))
        more = f" and {len(shared) - MAX_IDS_SHOWN} more" * (len(shared) > MAX_IDS_SHOWN)
        raise UserError(
            f"{train_json} and {test_json} share the persons {shown}{more}; put each person into "
            "one of them alone (person-search convert does), or say --ids-apart if the same number "
            "stands for different persons in them"
        )


def sha256_of(path: str) -> str:
    """Of a file, in hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

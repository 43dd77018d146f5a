"""Opening the index at a location, as ``--index`` names it."""

from pathlib import Path

from ..errors import NoIndexError, UserError
from .base import PersonIndex
from .disk import is_there
from .records import IndexInfo
from .tombstones import Tombstone, TombstoneFile

MILVUS = "milvus://"


def open_index(location: str, create: IndexInfo | None = None) -> PersonIndex:
    """Open an index, or make it.

    Args:
        location: a folder, or ``milvus://HOST:PORT/COLLECTION``.
        create: description of the index to make if there is none; an existing one must have
            features of the same network in the same precision, and the same number of shards.
            None: it must exist.

    Raises:
        UserError: if there is no index (:class:`NoIndexError`), or it is damaged, of another
            version, of another network, or needs a package that is not installed.
    """
    if location.startswith(MILVUS):
        from .milvus import open_milvus

        return open_milvus(location, create)
    try:
        import faiss  # noqa: F401
    except ImportError as error:
        raise UserError(
            "an index in a folder needs the package faiss-cpu: pip install faiss-cpu"
        ) from error
    from .local import open_local

    return open_local(Path(location), create)


def find_info(location: str) -> IndexInfo | None:
    """What an index says of itself; None if there is no index.

    Raises:
        UserError: as :func:`open_index`.
    """
    try:
        with open_index(location) as index:
            return index.info
    except NoIndexError:
        return None


def read_tombstones(location: str) -> list[Tombstone]:
    """Who was forgotten from an index, which may be of another version.

    Raises:
        UserError: if there is no index, or one of version 1, which did not record it.
    """
    if location.startswith(MILVUS):
        with open_index(location) as index:
            return index.tombstones()
    from .local import INFO_FILE, TOMBSTONES_FILE, read_info

    folder = Path(location)
    if not any(is_there(folder / name) for name in (INFO_FILE, TOMBSTONES_FILE)):
        raise UserError(f"{location}: there is no index; check the spelling")
    if not is_there(folder / TOMBSTONES_FILE) and read_info(folder / INFO_FILE).version == 1:
        raise UserError(
            f"index {location} is of version 1, which did not remember who was forgotten; leave it "
            "out, and forget them in the new index"
        )
    return TombstoneFile(folder / TOMBSTONES_FILE).all()

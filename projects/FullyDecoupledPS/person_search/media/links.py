"""One file with several names: through symbolic links, and across runs that name different ones."""

from collections.abc import Container, Iterable

from ..index import IndexWriter, PersonIndex
from .files import MediaFile
from .finding import RealPaths


class OtherNames:
    """Chooses one name of a file that has several, of those of this run and of the index.

    The real path if it is among them, else one that the index has already, else the first.

    Attributes:
        passed_over: names of this run whose file has a better name.
        superseded: names in the index -> the better name; to be removed once that is indexed.
    """

    def __init__(self, files: Iterable[MediaFile], known: Container[str], index: PersonIndex):
        """
        Args:
            files: of this run, of all shards.
            known: the paths in the shard.
            index: searched for real paths in other shards.
        """
        real_path = RealPaths()
        in_run = {real_path(file.path): file.path for file in files}
        names = {real: {path} for real, path in in_run.items()}
        for path in known:
            real = real_path(path)
            if real in names:
                names[real].add(path)
        has_other_shards = index.info.num_shards > 1
        self.passed_over: set[str] = set()
        self.superseded: dict[str, str] = {}
        for real, path in in_run.items():
            group = names[real]
            if path != real and has_other_shards and index.find_frames(real):
                group.add(real)
            if len(group) == 1:
                continue
            best = min(group, key=lambda name: (name != real, name not in known, name))
            if path != best:
                self.passed_over.add(path)
            self.superseded.update({n: best for n in group if n != best and n in known})

    def remove_superseded(
        self, index: PersonIndex, writer: IndexWriter, unreadable: Container[str]
    ) -> list[str]:
        """Remove names whose better names are indexed by now; returns them.

        Args:
            unreadable: paths that this run could not read completely.
        """
        if not self.superseded:
            return []
        index.refresh()
        removed = [
            path
            for path, better in self.superseded.items()
            if better not in unreadable and index.find_frames(better)
        ]
        writer.remove(removed)
        writer.commit()
        return removed

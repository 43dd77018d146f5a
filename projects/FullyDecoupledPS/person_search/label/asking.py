"""What to ask next."""

from .identities import Identities
from .store import ProjectFile


class Asking:
    """The pairs of persons that may be one, by the similarity of their features."""

    def __init__(self, project: ProjectFile, target_recall: float):
        self._target = target_recall
        self._pairs = sorted(
            (
                (float(similarity), a, int(b))
                for a, (ids, similarities) in project.neighbors().items()
                for b, similarity in zip(ids, similarities)
                if a < b
            ),
            reverse=True,
        )

    def update(self, identities: Identities) -> None:
        self._identities = identities

    def best(self) -> tuple | None:
        """a, b, left, right, probability of the best question; None: there is none."""
        groups, none = self._identities.groups, self._identities.no_persons
        for similarity, a, b in self._pairs:
            if a in none or b in none or groups.is_same(a, b) or groups.is_unsure(a, b):
                continue
            if groups.link(a, b) is None:
                left, right = (groups.members[groups.root[u]] for u in (a, b))
                left = (a, *(u for u in left if u != a))
                right = (b, *(u for u in right if u != b))
                return a, b, left, right, (1 + similarity) / 2
        return None

    def estimate(self) -> tuple[float, int]:
        """Recall reached, and decisions left to the target."""
        return 0.0, len(self._pairs)

"""What the classes of a file are, by their names and by what the user says."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from ...data.datasets.class_names import Kind, kind_of_class, plain_name
from ...errors import UserError


@dataclass(frozen=True)
class ClassChoice:
    """What the user says of classes, by name or number: before what is known of names."""

    persons: Sequence[str] = ()
    ignored: Sequence[str] = ()
    others: Sequence[str] = ()

    def kinds(self, names: Mapping[int, str], used: Sequence[int], where: str) -> dict[int, Kind]:
        """
        Args:
            names: of a file's classes; a class may have none.
            used: the classes of its boxes.
            where: the file, for an error.

        Raises:
            UserError: nothing is known of a class that has boxes.
        """
        kinds, unknown = {}, []
        for number in used:
            name = names.get(number, str(number))
            told = [self._named(names, number, given) for given in
                    (self.persons, self.ignored, self.others)]  # fmt: skip
            kind = kind_of_class(name, *told)
            if kind is None:
                unknown.append(f"'{name}'")
            else:
                kinds[number] = kind
        if unknown:
            raise UserError(
                f"{where}: nothing is known of class {', '.join(unknown)}; say of each what it "
                "is, with --person-class, --ignore-class (crowds) or --other-class (no person), "
                f"as --person-class {unknown[0]}"
            )
        return kinds

    @staticmethod
    def _named(names: Mapping[int, str], number: int, given: Sequence[str]) -> Sequence[str]:
        """What was given, with the class's own name for its number."""
        name = names.get(number, str(number))
        known = {plain_name(n) for n in names.values()}
        return [name if g == str(number) and plain_name(g) not in known else g for g in given]

    def refuse_unused(self, names: Collection[str], numbers: Iterable[str], what: str) -> None:
        """
        Args:
            names, numbers: of the classes of all files.
            what: has the classes, for the error.

        Raises:
            UserError: what was given is no class of any.
        """
        there = {plain_name(name) for name in (*names, *numbers)}
        for name in (*self.persons, *self.ignored, *self.others):
            if plain_name(name) not in there:
                known = ", ".join(sorted(names))
                raise UserError(f"no {what} has a class '{name}'; there are {known}")

"""Which annotations of a file in the manner of COCO are persons: `categories` read by name."""

from collections.abc import Sequence
from typing import Any

from ...errors import UserError
from .class_names import Kind, kind_of_class, plain_name
from .json_fields import get


class AnnotationClasses:
    """Says what the class of an annotation is for person search.

    A file without `categories`, or with a single one that has no name, holds persons only. Of
    others, the names are read as :func:`.class_names.kind_of_class` does; `person_classes` are
    persons as well. What is of an unknown class is no person.
    """

    def __init__(self, content: dict[str, Any], json_file: str, person_classes: Sequence[str]):
        """
        Raises:
            UserError: no class is known to be a person, or a chosen one is not in the file.
        """
        where = f"{json_file}, categories"
        self._names = _names(content.get("categories") or [], where)  # by category id
        names = list(self._names.values())
        listed = ", ".join(map(repr, names)) or "none"
        for name in person_classes:
            if plain_name(name) not in map(plain_name, names):
                raise UserError(f"{where}: there is no class {name!r}; its classes are {listed}")
        if not names:
            _refuse_unnamed(content["annotations"], where)
        self._kinds: dict[str, Kind] = {}  # by category id; empty: all are persons
        if len(names) > 1 or any(names):
            self._kinds = {
                i: kind_of_class(name, person_classes) or Kind.OTHER
                for i, name in self._names.items()
            }
            if Kind.PERSON not in self._kinds.values():
                raise UserError(
                    f"{where}: no class is named person or pedestrian, but {listed}; say which are "
                    "persons: person_classes of register_person_search_json, --person-class of "
                    'check-dataset, or "person_classes": [...] beside the lists'
                )

    def kind_of(self, annotation: dict[str, Any], where: str) -> Kind:
        """Raises UserError when the annotation's category is not in the file."""
        if not self._kinds:
            return Kind.PERSON
        if len(self._kinds) == 1 and annotation.get("category_id") is None:
            return Kind.PERSON
        category = str(get(annotation, "category_id", (int, str), where))
        if category not in self._kinds:
            raise UserError(
                f"{where}, category_id: {category} is not in 'categories' "
                f"({', '.join(self._kinds)}); add or correct it"
            )
        return self._kinds[category]

    def name_of(self, annotation: dict[str, Any]) -> str:
        """The name of its class, of an annotation that :meth:`kind_of` knows."""
        return self._names[str(get(annotation, "category_id", (int, str), ""))]


def _names(categories: Any, where: str) -> dict[str, str]:
    if not isinstance(categories, list):
        raise UserError(f"{where}: no list; see datasets/README.md")
    names: dict[str, str] = {}
    for i, category in enumerate(categories):
        category_id = str(get(category, "id", (int, str), f"{where}[{i}]"))
        if category_id in names:
            raise UserError(f"{where}[{i}], id: {category_id} stands there twice; ids must differ")
        names[category_id] = str(category.get("name") or "")
    return names


def _refuse_unnamed(annotations: list[Any], where: str) -> None:
    """Several classes, of which nothing says what they are."""
    found = [a.get("category_id") for a in annotations if isinstance(a, dict)]
    ids = {category_id for category_id in found if isinstance(category_id, (int, str))}
    if len(ids) > 1:
        shown = ", ".join(sorted(map(str, ids))[:5])
        raise UserError(
            f"{where}: there is no such list, but annotations have category_id {shown}; add the "
            "list with their names, or take out what is no person"
        )

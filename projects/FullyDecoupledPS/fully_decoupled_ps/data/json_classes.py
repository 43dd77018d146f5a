"""Which annotations of a file in the manner of COCO are persons: `categories` read by name."""

from typing import Any, Dict, List, Optional, Sequence

from ..errors import UserError
from .json_fields import get

# As words apart, in lower case.
PERSON_NAMES = ("person", "persons", "people", "pedestrian", "pedestrians")
REGION_NAMES = (
    *("crowd", "ignore", "ignored", "ignore region", "ignore regions"),
    *("ignored region", "ignored regions", "dontcare", "dont care", "don't care"),
)
PERSON, REGION = "person", "region"


class AnnotationClasses:
    """Says of an annotation whether it is a person, a region to ignore, or something else.

    * A file without `categories`, or with a single one that has no name, holds persons only.
    * Of others, those named in `PERSON_NAMES` are persons, in whatever case; `person_classes`
      chooses others in their place. Those named in `REGION_NAMES` are regions.
    """

    def __init__(self, content: Dict[str, Any], json_file: str, person_classes: Sequence[str]):
        """
        Raises:
            UserError: no class is known to be a person, or a chosen one is not in the file.
        """
        self._name_of: Optional[Dict[str, str]] = None  # by id; None: all are persons
        where = f"{json_file}, categories"
        names = _names(content.get("categories") or [], where)
        chosen = {_plain(name) for name in person_classes}
        listed = ", ".join(repr(name) for name in names.values()) or "none"
        for name in person_classes:
            if _plain(name) not in map(_plain, names.values()):
                raise UserError(f"{where}: there is no class {name!r}; its classes are {listed}")
        if not names:
            _refuse_unnamed(content["annotations"], where)
        elif len(names) > 1 or any(names.values()):
            self._name_of = names
        self._persons = chosen or set(PERSON_NAMES)
        if self._name_of is not None and not self._persons & set(map(_plain, names.values())):
            raise UserError(
                f"{where}: no class is named person or pedestrian, but {listed}; say which are "
                "persons: person_classes of register_person_search_json, --person-class of "
                "check-dataset"
            )

    def kind_of(self, annotation: Dict[str, Any], where: str) -> str:
        """`PERSON`, `REGION`, or the name of another class.

        Raises:
            UserError: its category is not in the file.
        """
        if self._name_of is None:
            return PERSON
        if len(self._name_of) == 1 and annotation.get("category_id") is None:
            return PERSON
        category = str(get(annotation, "category_id", (int, str), where))
        if category not in self._name_of:
            raise UserError(
                f"{where}, category_id: {category} is not in 'categories' "
                f"({', '.join(self._name_of)}); add or correct it"
            )
        name = self._name_of[category]
        if _plain(name) in self._persons:
            return PERSON
        return REGION if _plain(name) in REGION_NAMES else f"class {name!r}"


def _names(categories: Any, where: str) -> Dict[str, str]:
    if not isinstance(categories, list):
        raise UserError(f"{where}: no list; see datasets/README.md")
    names: Dict[str, str] = {}
    for i, category in enumerate(categories):
        category_id = str(get(category, "id", (int, str), f"{where}[{i}]"))
        if category_id in names:
            raise UserError(f"{where}[{i}], id: {category_id} stands there twice; ids must differ")
        names[category_id] = str(category.get("name") or "")
    return names


def _refuse_unnamed(annotations: List[Any], where: str) -> None:
    """Several classes, of which nothing says what they are."""
    ids = {a.get("category_id") for a in annotations if isinstance(a, dict) and _is_id(a)}
    if len(ids) > 1:
        shown = ", ".join(sorted(map(str, ids))[:5])
        raise UserError(
            f"{where}: there is no such list, but annotations have category_id {shown}; add the "
            "list with their names, or take out what is no person"
        )


def _is_id(annotation: Dict[str, Any]) -> bool:
    return isinstance(annotation.get("category_id"), (int, str))


def _plain(name: str) -> str:
    return " ".join(name.lower().replace("_", " ").replace("-", " ").split())

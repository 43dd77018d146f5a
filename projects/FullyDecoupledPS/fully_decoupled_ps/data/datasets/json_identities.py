"""Where an annotation of a JSON dataset says who it is."""

from collections import Counter
from typing import Any

from ...errors import UserError
from .json_fields import attributes, person_id

PERSON_ID = "person_id"
# Top-level fields of an annotation that are no identity.
NO_IDENTITY = ("id", "image_id", "category_id", PERSON_ID)


class Identities:
    """Reads an annotation's identity.

    * `person_id` of the annotation; where it has none, that of its `attributes`, where CVAT's
      export for COCO puts what was set for a box.
    * With `id_attribute` that field, of its `attributes` or else of the annotation itself. A track
      id is taken on this demand only: tools number tracks anew in each task, and somebody who
      comes back has another one.

    Attributes:
        attribute: where all ids come from, where it is not `person_id` of the annotations.
        candidates: with no identity at all, names of the fields that may hold it.
    """

    def __init__(self, annotations: list[Any], json_file: str, id_attribute: str | None):
        """Raises UserError when no annotation has the field `id_attribute`."""
        entries = [a for a in annotations if isinstance(a, dict)]
        self.attribute: str | None = id_attribute
        self.candidates: list[str] = []
        names: Counter = Counter()
        for entry in entries:
            names.update(k for k, v in attributes(entry).items() if v not in (None, ""))
        tops = {k for e in entries for k in e if k.endswith("_id") and k not in NO_IDENTITY}
        if id_attribute is not None:
            if not names[id_attribute] and id_attribute not in tops | {PERSON_ID}:
                known = ", ".join(sorted({*names, *tops})) or "none"
                raise UserError(
                    f"{json_file}, annotations: none has an attribute {id_attribute!r} to take the "
                    f"identity from; their attributes are {known}"
                )
        elif all(entry.get(PERSON_ID) is None for entry in entries):
            if names[PERSON_ID]:
                self.attribute = PERSON_ID
            else:
                self.candidates = sorted({*names, *tops})

    def of(self, annotation: dict[str, Any], where: str) -> int:
        """-1 if nobody is named; UserError if it is no id."""
        own = attributes(annotation)
        if self.attribute is None and annotation.get(PERSON_ID) is not None:
            return person_id(annotation[PERSON_ID], f"{where}, {PERSON_ID}")
        name = self.attribute or PERSON_ID
        if name in own:
            return person_id(own[name], f"{where}, attributes.{name}", text=True)
        if self.attribute is None:
            return -1
        value = annotation.get(self.attribute)
        return person_id(value, f"{where}, {self.attribute}", text=True)

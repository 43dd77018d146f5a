"""Crowds as Detectron2's dataset dicts mark them, set apart from persons."""

from typing import Any

from detectron2.structures import BoxMode


def with_regions_apart(d: dict[str, Any]) -> dict[str, Any]:
    """
    A dataset dict whose annotations are persons only: those with "iscrowd" 1, as any registered
    dataset may have them, are in "ignore_regions", as [x0, y0, x1, y1]. The argument is unchanged.
    """
    annotations = d.get("annotations", [])
    crowds = [a for a in annotations if a.get("iscrowd")]
    if not crowds:
        return d
    boxes = [BoxMode.convert(a["bbox"], a["bbox_mode"], BoxMode.XYXY_ABS) for a in crowds]
    persons = [a for a in annotations if not a.get("iscrowd")]
    regions = [*d.get("ignore_regions", []), *(list(box) for box in boxes)]
    return {**d, "annotations": persons, "ignore_regions": regions}

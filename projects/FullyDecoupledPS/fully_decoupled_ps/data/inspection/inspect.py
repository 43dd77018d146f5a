"""A whole inspection: of a registered dataset, or of a JSON file past its faults."""

import os
import re
from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional, Tuple

from detectron2.data import DatasetCatalog, MetadataCatalog

from ...errors import UserError
from ..person_search_json import read_faulty_json
from ..protocols import get_protocols
from .boxes import inspect_boxes
from .findings import ERROR, Findings
from .persons import inspect_cameras, inspect_persons
from .pictures import inspect_pictures
from .queries import inspect_queries

# What the JSON reader says of a fault -> its kind and name; else the field that it names.
FAULT_KINDS = (
    ("has no size", "boxes.empty", "boxes of no size"),
    ("lies outside its image", "boxes.outside", "boxes outside their picture"),
    ("leaves its image", "boxes.over_border", "boxes that reach out of their picture"),
    ("stands twice in image", "ids.repeated", "persons that stand twice in a frame"),
    ("' not found", "pictures.missing", "pictures that are not there"),
    ("is unreadable", "pictures.unreadable", "pictures that can't be read"),
)


@dataclass
class Inspection:
    """What was found.

    Attributes:
        source: the registered name, or the JSON file.
        split: "train" or "test".
        dicts: the dataset dicts of all entries that could be read.
        summary: counts, as :func:`inspect_dataset` lists them; empty if nothing could be read.
        findings: errors and warnings.
    """

    source: str
    split: str = "train"
    dicts: List[Dict[str, Any]] = field(default_factory=list)
    summary: Dict[str, Any] = field(default_factory=dict)
    findings: Findings = field(default_factory=Findings)


def inspect_dataset(
    source: str,
    *,
    image_root: Optional[str] = None,
    split: Optional[str] = None,
    sample: Optional[int] = None,
    workers: int = 1,
    seed: int = 0,
) -> Inspection:
    """
    Args:
        source: a registered name, or a JSON file of the project's format.
        image_root: of a JSON file; default its own folder.
        split: of a JSON file; default "test" if it has queries, else "train".
        sample: open so many pictures; default all.
        workers: processes that open them.

    Returns:
        an inspection; its summary has "frames", "boxes", "labelled", "unlabelled", "identities",
        "persons_per_frame", "cameras", "queries", "pictures" and more.

    Raises:
        UserError: there is no such dataset, file or folder: nothing to inspect.
    """
    is_file = source.endswith(".json") or os.path.isfile(source)
    if not is_file and (image_root or split):
        raise UserError(
            f"--image-root and --split are for a JSON file; '{source}' is a registered name, "
            "which has its own: leave them out"
        )
    inspection = Inspection(source)
    if is_file:
        protocols = _read_json(inspection, source, image_root, split)
    else:
        protocols = _read_registered(inspection)
    if protocols is None:
        return inspection
    dicts, findings = inspection.dicts, inspection.findings
    summary = inspect_persons(dicts, findings)
    summary["box_sizes"] = inspect_boxes(dicts, findings)
    summary.update(inspect_cameras(dicts, findings))
    summary["queries"] = inspect_queries(dicts, protocols, findings)
    if inspection.split == "test" and not any(protocols.values()):
        findings.whole(ERROR, "queries.none", "there is no query; one needs a person in two images")
    is_json = is_file or "json_file" in MetadataCatalog.get(source).as_dict()
    if inspection.split == "train" and not is_json and not summary["contiguous_ids"]:
        findings.whole(ERROR, "ids.gaps", "person ids are not numbered from 0 without a gap")
    opened = inspect_pictures(dicts, findings, sample=sample, workers=workers, seed=seed)
    summary.update(opened)
    inspection.summary = summary
    return inspection


Protocols = Optional[Dict[str, List[Dict[str, Any]]]]


def _read_registered(inspection: Inspection) -> Protocols:
    name = inspection.source
    known = [
        n
        for n in DatasetCatalog.list()
        if MetadataCatalog.get(n).get("evaluator_type") == "person_search"
    ]
    if name not in known:
        raise UserError(
            f"'{name}' is neither a JSON file nor a registered dataset of person search; "
            f"registered are {', '.join(known)}"
        )
    metadata = MetadataCatalog.get(name)
    inspection.split = metadata.get("split", "train")
    root = metadata.get("root")
    if root is not None and not os.path.isdir(root):
        raise UserError(
            f"dataset '{name}': folder '{root}' not found; put the dataset there, or set "
            "DETECTRON2_DATASETS to the folder that holds it"
        )
    if "json_file" in metadata.as_dict():  # reading it tells all faults, and loading it the first
        return _read_json(inspection, metadata.json_file, root, inspection.split)
    try:
        inspection.dicts = DatasetCatalog.get(name)
        protocols = get_protocols(name) if inspection.split == "test" else {}
    except UserError as e:  # of its files, the first fault
        inspection.findings.error("files", "files that can't be loaded", [str(e)])
        return None
    return protocols


def _read_json(
    inspection: Inspection, file: str, image_root: Optional[str], split: Optional[str]
) -> Protocols:
    root = image_root if image_root is not None else os.path.dirname(os.path.abspath(file))
    content = read_faulty_json(file, root)
    inspection.dicts = content.dicts
    inspection.split = split or ("test" if content.has_queries else "train")
    kinds: Dict[Tuple[str, str], List[str]] = {}
    prefix = os.path.abspath(file) + ", "
    for fault in map(str, content.faults):
        kinds.setdefault(_kind(fault, prefix), []).append(fault.removeprefix(prefix))
    for (kind, message), places in kinds.items():
        inspection.findings.error(kind, message, places)
    return content.protocols if inspection.split == "test" else {}


def _kind(fault: str, prefix: str) -> Tuple[str, str]:
    for phrase, kind, message in FAULT_KINDS:
        if phrase in fault:
            return kind, message
    entry = re.match(r"(\w+)\[\d+\]", fault.removeprefix(prefix))
    where = entry[1] if entry else "file"
    return f"{where}.entry", f"entries of '{where}' that can't be read"

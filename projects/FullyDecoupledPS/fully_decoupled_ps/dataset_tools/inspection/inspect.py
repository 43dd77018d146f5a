"""A whole inspection: of a registered dataset, or of a JSON file past its faults."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from detectron2.data import DatasetCatalog, MetadataCatalog

from ...data.datasets.person_search_json import read_faulty_json
from ...data.datasets.protocols import get_protocols
from ...data.ignore_regions import with_regions_apart
from ...errors import UserError
from .boxes import inspect_boxes
from .copies import inspect_copies
from .findings import ERROR, WARNING, Findings
from .persons import inspect_cameras, inspect_persons
from .pictures import inspect_pictures
from .queries import inspect_queries


@dataclass
class Inspection:
    """What was found.

    Attributes:
        source: the registered name, or the JSON file.
        split: "train" or "test".
        dicts: the dataset dicts of all entries that could be read.
        summary: counts, as :func:`inspect_dataset` lists them; empty if nothing could be read.
        left_out: how many annotations of a JSON file are no persons, by their class.
        findings: errors and warnings.
    """

    source: str
    split: str = "train"
    dicts: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)
    findings: Findings = field(default_factory=Findings)


def inspect_dataset(
    source: str,
    *,
    image_root: str | None = None,
    split: str | None = None,
    person_classes: Sequence[str] = (),
    id_attribute: str | None = None,
    against: str | None = None,
    sample: int | None = None,
    workers: int = 1,
    seed: int = 0,
) -> Inspection:
    """
    Args:
        source: a registered name, or a JSON file of the project's format.
        image_root: of a JSON file; default its own folder.
        split: of a JSON file; default "test" if it has queries, else "train".
        person_classes, id_attribute: of a JSON file; see
            :func:`..person_search_json.load_person_search_json`.
        against: a set that should share no picture with this one, as the training set of a test
            set; a registered name, or a JSON file whose image root is `image_root`, else its own.
        sample: open so many pictures; default all.
        workers: processes that open them.

    Returns:
        an inspection; its summary has "frames", "boxes", "labelled", "unlabelled", "identities",
        "persons_per_frame", "cameras", "queries", "pictures" and more.

    Raises:
        UserError: there is no such dataset, file or folder: nothing to inspect.
    """
    is_file = _is_file(source)
    options = {"person_classes": tuple(person_classes), "id_attribute": id_attribute}
    if not is_file and (image_root or split or any(options.values())):
        raise UserError(
            "--image-root, --split, --person-class and --id-attribute are for a JSON file; "
            f"'{source}' is a registered name, which has its own: leave them out"
        )
    inspection = Inspection(source)
    if is_file:
        protocols = _read_json(inspection, source, image_root, split, options)
    else:
        protocols = _read_registered(inspection)
    if protocols is None:
        return inspection
    others = _other_dicts(against, image_root, options)
    dicts, findings = inspection.dicts, inspection.findings
    persons = inspect_persons(dicts, findings, inspection.split)
    summary = {**persons, "left_out": inspection.left_out}
    inspect_copies(dicts, findings, others, against or "")
    summary["box_sizes"] = inspect_boxes(dicts, findings)
    summary.update(inspect_cameras(dicts, findings))
    summary["queries"] = inspect_queries(dicts, protocols, findings)
    if inspection.split == "test" and not any(protocols.values()):
        findings.whole(
            WARNING,
            "queries.none",
            "there is no query, which needs a person in two images: search figures are n/a",
        )
    is_json = is_file or "json_file" in MetadataCatalog.get(source).as_dict()
    if inspection.split == "train" and not is_json and not summary["contiguous_ids"]:
        findings.whole(ERROR, "ids.gaps", "person ids are not numbered from 0 without a gap")
    opened = inspect_pictures(dicts, findings, sample=sample, workers=workers, seed=seed)
    summary.update(opened)
    inspection.summary = summary
    return inspection


Protocols = dict[str, list[dict[str, Any]]] | None


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
        options = metadata.json_options
        return _read_json(inspection, metadata.json_file, root, inspection.split, options)
    try:
        inspection.dicts = [with_regions_apart(d) for d in DatasetCatalog.get(name)]
        protocols = get_protocols(name) if inspection.split == "test" else {}
    except UserError as e:  # of its files, the first fault
        inspection.findings.error("files", "files that can't be loaded", [str(e)])
        return None
    return protocols


def _read_json(
    inspection: Inspection,
    file: str,
    image_root: str | None,
    split: str | None,
    options: dict[str, Any],
) -> Protocols:
    reader = read_faulty_json(file, image_root, **options)
    inspection.dicts = reader.dicts
    inspection.split = split or ("test" if "queries" in reader.content else "train")
    inspection.left_out = dict(reader.left_out)
    for kind, faults in reader.faults_by_kind().items():
        inspection.findings.error(kind, faults[0].heading, list(map(str, faults)))
    if reader.identities.candidates:
        candidates = ", ".join(reader.identities.candidates)
        inspection.findings.whole(
            WARNING,
            "ids.elsewhere",
            f"no annotation has a person_id; if one of the fields {candidates} is the identity, "
            "name it: --id-attribute, and id_attribute where it is registered",
        )
    return reader.protocols if inspection.split == "test" else {}


def _other_dicts(
    against: str | None, image_root: str | None, options: dict[str, Any]
) -> list[dict[str, Any]]:
    if against is None:
        return []
    if _is_file(against):
        return read_faulty_json(against, image_root, **options).dicts
    other = Inspection(against)
    _read_registered(other)
    return other.dicts


def _is_file(source: str) -> bool:
    return source.endswith(".json") or os.path.isfile(source)

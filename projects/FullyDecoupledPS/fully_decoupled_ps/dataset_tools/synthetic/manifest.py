"""The file that says what a drawn folder holds, so that a run is completed and never mixed up."""

import json
from pathlib import Path

from ...errors import UserError
from ...utils.files import atomic_write, tell_unwritable

_FIX = "free space or correct the permissions, or choose another folder"


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file that is either whole or not there."""
    with tell_unwritable(path, _FIX), atomic_write(path, "wb", sync=False) as f:
        f.write(content)


def write_manifest(root: Path, name: str, content: dict, finished: bool) -> None:
    write_bytes(root / name, json.dumps({**content, "finished": finished}, indent=1).encode())


def is_finished(root: Path, name: str, wanted: dict) -> bool:
    """Whether what is wanted is there already, and whole.

    Args:
        name: of the manifest.
        wanted: its content, with the keys "version" and "spec".

    Raises:
        UserError: the folder holds anything else.
    """
    if root.exists() and not root.is_dir():
        raise UserError(f"{root} is a file: choose a folder")
    if not root.is_dir() or not any(root.iterdir()):
        return False
    try:
        found = json.loads((root / name).read_text())
        finished = found.pop("finished")
        spec, version = dict(found["spec"]), found["version"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise UserError(
            f"{root} is not empty and has no readable {name}: choose another folder"
        ) from None
    if found == wanted:
        return finished
    different = [
        f"{k} {spec.get(k)}, not {v}" for k, v in wanted["spec"].items() if spec.get(k) != v
    ]
    if version != wanted["version"]:
        different.append(f"drawn by version {version} of this program, not {wanted['version']}")
    raise UserError(
        f"{root} holds another synthetic dataset ({'; '.join(different)}): choose another folder "
        "or remove this one"
    )

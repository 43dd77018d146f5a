"""The folder that an export is written to: one project's, by one process at a time."""

import json
import shutil
from pathlib import Path
from typing import Any

from fully_decoupled_ps.utils.files import tell_unwritable, write_json
from fully_decoupled_ps.utils.names import decode_name, encode_name

from ..errors import UserError, translated
from ..index.locking import WriterLock
from .store import ProjectFile

MARKER = "export.json"
IMAGES = "images"
SETS = ("train.json", "test.json")


class ExportFolder:
    """::

        DIR/images/       pictures
        DIR/train.json    written last: when it is there, all else is
        DIR/test.json
        DIR/export.json   whose it is, and which persons and cameras its numbers are
        DIR/lock

    A context manager, which holds the lock.
    """

    @translated()
    def __init__(self, folder: Path, project: ProjectFile):
        """
        Raises:
            UserError: if the folder holds something else, can't be written, or another process
                writes to it.
        """
        self.folder = folder.absolute()
        self.images = self.folder / IMAGES
        self._project_id = project.project_id()
        self._check()
        with tell_unwritable(folder, "free space, or name another folder with --output"):
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = WriterLock(self.folder)
        note_export(project, self.folder)  # before anything is in it
        if not (self.folder / MARKER).exists():
            self.write_marker({})

    def __str__(self) -> str:
        return str(self.folder)

    def __enter__(self) -> "ExportFolder":
        return self

    def __exit__(self, *exception) -> None:
        self._lock.release()

    def _check(self) -> None:
        there = sorted(p.name for p in self.folder.iterdir()) if self.folder.is_dir() else []
        others = [name for name in there if name not in ("lock", MARKER)]
        marked = read_marker(self.folder).get("project")
        if others and marked != self._project_id or marked not in (None, self._project_id):
            raise UserError(
                f"--output {self.folder} holds {(others or [MARKER])[0]}, and no export of this "
                "project; name an empty or a new folder"
            )

    @translated()
    def write_marker(self, content: dict[str, Any]) -> None:
        write_json(self.folder / MARKER, {"project": self._project_id, **content})

    def begin(self) -> None:
        """Remove an earlier export's lists: from here on there is a whole new one or none."""
        _remove_sets(self.folder)


def note_export(project: ProjectFile, folder: Path) -> None:
    """Remember a folder, so that what it shows of somebody who is forgotten can be found.

    Call it for an export that was moved, too.
    """
    with project.transaction():
        known = project.get("exports", [])
        project.set("exports", sorted({*known, encode_name(str(folder.absolute()))}))


def exports_of(project: ProjectFile) -> list[Path]:
    """The folders that the project was ever exported to, whatever they hold now.

    Those within its folder are looked for: it may have been moved or copied since.
    """
    noted = [Path(decode_name(name)) for name in project.get("exports", [])]
    own = [marker.parent for marker in project.path.parent.absolute().rglob(MARKER)]
    return sorted({*noted, *own})


@translated()
def remove_export(folder: Path) -> None:
    """Remove what was exported; the folder and what else is in it stay."""
    _remove_sets(folder)
    with tell_unwritable(folder, "correct the permissions"):
        if (folder / IMAGES).is_dir():
            shutil.rmtree(folder / IMAGES)
        (folder / MARKER).unlink(missing_ok=True)


@translated()
def _remove_sets(folder: Path) -> None:
    with tell_unwritable(folder, "correct the permissions"):
        for name in SETS:
            (folder / name).unlink(missing_ok=True)


def read_marker(folder: Path) -> dict[str, Any]:
    """What :meth:`ExportFolder.write_marker` wrote; empty if there is no such file."""
    try:
        return json.loads((folder / MARKER).read_text())
    except (OSError, ValueError):
        return {}

"""What an output folder holds: what its training was begun with, what was chosen, what is done."""

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..utils.files import write_json
from .plan import Plan

FILE = "site.json"
VERSION = 1
# What may be in the folder before its training is begun.
BEFORE_BEGIN = {"lock", "data", "data.new", f"{FILE}.part"}


class State:
    """The file ``site.json``, which is whole whatever ends the process.

    Attributes:
        plan: what was chosen; None as long as nothing is begun.
        done: names of the steps that are done.
    """

    def __init__(self, folder: str, request: dict[str, str]):
        """
        Args:
            request: what the command is to do: title -> value.

        Raises:
            UserError: the folder holds something else, or a training of another request.
        """
        self._path = Path(folder) / FILE
        self._request = request
        self.plan: Plan | None = None
        self.done: list[str] = []
        if not self._path.exists():
            _refuse_others(folder)
            return
        content = _read(self._path)
        for title, value in request.items():
            begun_with = content["request"].get(title)
            if begun_with != value:
                raise UserError(
                    f"--output {folder} was begun with another {title} ({begun_with}) than this "
                    f"command has ({value}); go on with the former, or name another --output"
                )
        self.plan, self.done = Plan(**content["plan"]), content["done"]

    def begin(self, plan: Plan) -> None:
        self.plan = plan
        self._write()

    def finish(self, step: str) -> None:
        self.done.append(step)
        self._write()

    def _write(self) -> None:
        write_json(
            self._path,
            {
                "version": VERSION,
                "request": self._request,
                "done": self.done,
                "plan": asdict(self.plan),
            },
        )


def _refuse_others(folder: str) -> None:
    others = sorted(set(os.listdir(folder)) - BEFORE_BEGIN) if os.path.isdir(folder) else []
    if others:
        raise UserError(
            f"--output {folder} holds {len(others)} other files, {others[0]} for one; name "
            "a new or an empty folder"
        )


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text())
        if content["version"] == VERSION:
            return content
        fault = f"its version is {content['version']!r}, and {VERSION} is read here"
    except (ValueError, KeyError, TypeError, OSError) as error:
        fault = f"it can't be read ({error})"
    raise UserError(f"{path}: {fault}; name another --output")

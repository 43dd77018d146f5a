"""How a command ends where the user has made a mistake: with one line, and status 2."""

import functools
import sys
from collections.abc import Callable

from ..errors import UserError
from .names import printable


def print_error(error: UserError) -> int:
    """Print it on stderr as one line; returns the exit status of a command that it ends."""
    print(f"error: {printable(str(error))}", file=sys.stderr)
    return 2


def in_one_line(main: Callable) -> Callable[..., int]:
    """Let a command's ``main`` return its exit status, also where it raises a UserError."""

    @functools.wraps(main)
    def run(*args, **kwargs) -> int:
        try:
            return main(*args, **kwargs) or 0
        except UserError as error:
            return print_error(error)

    return run

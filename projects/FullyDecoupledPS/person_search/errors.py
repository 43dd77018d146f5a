"""The one exception that the commands print as a single line instead of a traceback."""

from collections.abc import Iterator
from contextlib import contextmanager

from fully_decoupled_ps import errors


class UserError(errors.UserError):
    """Something that the user gave is wrong: an option, a file, a folder, an index.

    The message is one line that names the bad value, what is allowed, and how to fix it.
    """


class NoIndexError(UserError):
    """There is no index where one was to be."""


@contextmanager
def translated() -> Iterator[None]:
    """Raise what the network's package says of a user's mistake as this package's error.

    Around calls of it, or as a decorator of a function that makes them.
    """
    try:
        yield
    except UserError:
        raise
    except errors.UserError as error:
        raise UserError(str(error)) from error

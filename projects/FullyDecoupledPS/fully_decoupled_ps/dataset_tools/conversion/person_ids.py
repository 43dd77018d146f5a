"""Who a box is, as annotation tools write it: numbers, or names, in an attribute."""

from collections.abc import Iterable
from typing import Any

from ...errors import UserError
from .mot_table import MAX_WHOLE

# What tools write where nobody has said anything
NOBODY = {"", "-1", "none", "null", "unknown", "__undefined__"}


def read_identity(value: Any, where: str) -> int | str | None:
    """
    Returns:
        a number of 0 or more, a name, or None where nobody is named.

    Raises:
        UserError: a value that is neither.
    """
    if value is None:
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, str):
        value = value.strip()
        if value.lower() in NOBODY:
            return None
        if value.isdecimal():
            value = int(value)
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, int) or not -1 <= value < MAX_WHOLE:
        raise UserError(
            f"{where}: {value!r} names no person; give a whole number from 0 to 2^53, or a name"
        )
    return None if value == -1 else value


def numbers_of(identities: Iterable[int | str]) -> dict[int | str, int]:
    """
    Returns:
        the number of each: a number's own, if there are numbers only; else all are names, and are
        counted from 0 in alphabetical order.
    """
    everybody = set(identities)
    if all(isinstance(identity, int) for identity in everybody):
        return {identity: identity for identity in everybody}
    return {identity: k for k, identity in enumerate(sorted(everybody, key=str))}

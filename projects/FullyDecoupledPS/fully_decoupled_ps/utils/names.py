"""Names of files and cameras, which are bytes: kept without loss as text, and shown to people.

Python has the bytes of a name that are no text in the encoding of the file system as lone
surrogates (``os.fsdecode``), which neither UTF-8 nor SQLite, Milvus or a browser takes.
"""

import os
import re
import unicodedata

# A byte that is no UTF-8 is stored as a character of the last private plane.
_FIRST = 0x10FE00
_STORED = re.compile("[\U0010fe80-\U0010feff]")
_SURROGATE = re.compile("[\ud800-\udfff]")


def natural(name: str) -> list[str | int]:
    """A key that sorts numbers in names by their value."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)]


def encode_name(name: str) -> str:
    r"""A name as valid Unicode; :func:`decode_name` is its inverse.

    Names that are UTF-8 stay as they are. It is the same on machines of any locale.

    >>> encode_name("caf\udce9.jpg") == "caf\U0010fee9.jpg"
    True
    """
    if name.isascii():
        return name
    # a name that has such characters itself: their bytes are stored one by one
    text = os.fsencode(name).decode("utf-8", "surrogateescape")
    text = _STORED.sub(
        lambda match: "".join(chr(0xDC00 + byte) for byte in match[0].encode()), text
    )
    return _SURROGATE.sub(lambda match: chr(_FIRST + ord(match[0]) - 0xDC00), text)


def decode_name(text: str) -> str:
    """What :func:`encode_name` was given."""
    if text.isascii():
        return text
    text = _STORED.sub(lambda match: chr(ord(match[0]) - _FIRST + 0xDC00), text)
    return os.fsdecode(text.encode("utf-8", "surrogateescape"))


def printable(text: str, keep: str = "") -> str:
    r"""For people, on a terminal or a page: what is no character or would not be seen is escaped.

    These are bytes that are no text, control characters (a name may hold those that recolour a
    terminal, or rewrite its lines), and marks that turn the direction of writing.

    Args:
        text: a name, or a message with names in it.
        keep: characters that stay, such as a message's own line ends.

    >>> printable("caf\udce9\n.jpg")
    'caf\\xe9\\n.jpg'
    """
    if text.isprintable():
        return text
    return "".join(c if c in keep or not _is_unseen(c) else _escape(c) for c in text)


def printable_value(value):
    """:func:`printable` of text that a template is given (Jinja's ``finalize``); else as it is."""
    return printable(value, keep="\n\t") if type(value) is str else value


def take_all_names(stream) -> None:
    """Let a text stream escape what its encoding has not, instead of raising an exception."""
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="backslashreplace")


def _is_unseen(character: str) -> bool:
    # letters of some scripts need the joiners, and emojis the tags: format characters stay,
    # but for those of the direction
    category = unicodedata.category(character)
    if category == "Cf":
        return unicodedata.bidirectional(character) in _DIRECTIONS or character == "\u061c"
    return category in ("Cc", "Cs", "Zl", "Zp")


_DIRECTIONS = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")


def _escape(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()

"""Names as bytes: stored without loss, and shown to people."""

import os
import random

import pytest

from fully_decoupled_ps.utils.names import decode_name, encode_name, printable, printable_value

# Parts of UTF-8 and of U+10FE80..U+10FEFF itself, Latin-1, a surrogate in UTF-8, and ASCII.
BYTES = (0xF4, 0x8F, 0xB8, 0xBA, 0x80, 0xE9, 0xC3, 0xA9, 0xFF, 0xED, 0xA0, 0x41, 0x0A)


def test_any_bytes_come_back():
    generator = random.Random(0)
    for _ in range(20_000):
        name = os.fsdecode(bytes(generator.choices(BYTES, k=generator.randrange(9))))
        stored = encode_name(name)
        stored.encode()  # is Unicode
        assert decode_name(stored) == name


@pytest.mark.parametrize("name", ["a.jpg", "é 日本 🙂 \n.jpg", "e\u0301", "\U0010ffff"])
def test_names_in_utf8_are_stored_as_they_are(name):
    assert encode_name(name) == decode_name(name) == name


def test_two_names_are_never_stored_alike():
    assert encode_name("\udce9") == "\U0010fee9" != encode_name("\U0010fee9")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain é 日本 🙂 صورة e\u0301", "plain é 日本 🙂 صورة e\u0301"),
        ("\udce9\udcff", r"\xe9\xff"),
        ("\x1b[31m\n\r\t\x7f\x9b", r"\x1b[31m\n\r\t\x7f\x9b"),
        ("a\u202egpj\u2066.exe\u2028", r"a\u202egpj\u2066.exe\u2028"),
        ("👩\u200d🔬", "👩\u200d🔬"),  # a joiner is part of what is seen
    ],
)
def test_what_people_see(text, shown):
    assert printable(text) == printable_value(text).replace("\n", r"\n").replace("\t", r"\t")
    assert printable(text) == shown


def test_line_ends_of_a_message_stay():
    assert printable("a\n\x1b", keep="\n") == "a\n\\x1b"
    assert printable_value(1.5) == 1.5

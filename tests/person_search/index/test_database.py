"""Transactions of a SQLite file."""

import pytest

from person_search.index.database import Database


class Words(Database):
    schema = ""


def test_a_transaction_within_another_is_a_part_of_it(tmp_path):
    words = Words(tmp_path / "words.sqlite")
    with pytest.raises(KeyError):
        with words.transaction():
            words.set("a", 1)
            with words.transaction():
                words.set("b", 2)
            raise KeyError
    assert words.get("a") is None and words.get("b") is None
    with words.transaction():
        words.set("a", 1)
        with words.transaction():
            words.set("b", 2)
    words.close()
    again = Words(tmp_path / "words.sqlite")
    assert (again.get("a"), again.get("b")) == (1, 2)
    again.close()

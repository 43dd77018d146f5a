"""``person-search forget``: who goes, and who stays."""

import pytest

from fully_decoupled_ps.index import open_index
from tests.index.made_up_index import all_persons, files_holding

from .command import run


@pytest.fixture
def persons(index_folder):
    with open_index(str(index_folder)) as index:
        return all_persons(index)


def ids_in(folder):
    with open_index(str(folder)) as index:
        return {p.person_id for p in all_persons(index)}


def test_a_person(index_folder, persons, caplog):
    caplog.set_level("INFO")
    with open_index(str(index_folder)) as index:
        feature = index.features([persons[0].person_id])[0]
    assert files_holding(index_folder, feature)
    args = ("--person", persons[0].person_id, "--person", persons[1].person_id)
    assert run("forget", "--index", index_folder, *args) == 0
    assert "2 persons have been removed" in caplog.text
    assert ids_in(index_folder) == {p.person_id for p in persons[2:]}
    assert files_holding(index_folder, feature) == []


def test_a_frame(index_folder, persons, run_folder, tmp_path):
    path = persons[0].frame.path
    assert run("forget", "--index", index_folder, "--frame", path) == 0
    kept = {p.person_id for p in persons if p.frame.path != path}
    assert ids_in(index_folder) == kept
    # the picture is known still: it is not indexed again
    again = ("index", tmp_path / "media", "--model", run_folder, "--index", index_folder)
    assert run(*again, "--score-thresh", 0.01, "--workers", 0) == 0
    assert ids_in(index_folder) == kept


def test_everybody_like_a_person(index_folder, persons, capsys):
    person = persons[0]
    with open_index(str(index_folder)) as index:
        hits = index.search(index.features([person.person_id])[0], 1000)
    middle = (hits[3].similarity + hits[4].similarity) / 2
    query = ("--query", person.frame.path, "--box", ",".join(map(repr, person.box)))
    args = ("forget", "--index", index_folder, *query, "--min-similarity", middle)
    capsys.readouterr()
    assert run(*args) == 0
    listed = [int(line.split()[2]) for line in capsys.readouterr().out.splitlines()[2:]]
    assert listed == [hit.person.person_id for hit in hits[:4]]
    assert len(ids_in(index_folder)) == len(persons)  # only listed
    assert run(*args, "--yes") == 0
    assert ids_in(index_folder) == {hit.person.person_id for hit in hits[4:]}


def test_mistakes(index_folder, persons, capsys):
    def error(*args):
        capsys.readouterr()
        assert run("forget", "--index", index_folder, *args) == 2
        message = capsys.readouterr().err
        assert message.startswith("error: ") and message.count("\n") == 1
        assert len(ids_in(index_folder)) == len(persons)
        return message

    first = persons[0]
    assert "nobody is named; use --person, --frame or --query" in error()
    # all or nobody
    assert "has no person 98765" in error("--person", first.person_id, "--person", 98765)
    assert "has no such frame" in error("--person", first.person_id, "--frame", "nowhere.jpg")
    assert "--query needs --min-similarity" in error("--query", first.frame.path)
    with open_index(str(index_folder)) as index, index.writer():
        assert "another process" in error("--person", first.person_id)

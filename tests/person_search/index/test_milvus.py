"""What only an index in Milvus has: exclusive writer leases, and a connection to close."""

import importlib.util
import time

import pytest

from person_search.errors import UserError
from person_search.index import milvus, milvus_lease, open_index
from person_search.index.milvus_lease import WriterLease
from tests.person_search.cli import command
from tests.processes import run_captured

from .made_up_index import INFO, add_picture, all_persons, fill

pytestmark = pytest.mark.skipif(
    not importlib.util.find_spec("milvus_lite"), reason="Milvus Lite is missing"
)

BEAT = 0.05


@pytest.fixture(autouse=True)
def short_waits(monkeypatch):
    monkeypatch.setattr(milvus_lease, "BEAT", BEAT)
    monkeypatch.setattr(milvus_lease, "PATIENCE", 60 * BEAT)


@pytest.fixture
def location(tmp_path, impatient_milvus):
    return f"milvus://{tmp_path}/lite.db/persons"


@pytest.fixture
def index(location):
    with open_index(location, create=INFO) as index:
        yield index


@pytest.fixture
def other(index, location):
    """The same index, opened once more."""
    with open_index(location) as other:
        yield other


def stand_still(lease):
    """What a kill does: nobody counts up or removes the entity."""
    lease._ended.set()
    lease._thread.join()


def test_two_writers(index, other):
    with index.writer() as writer:
        with pytest.raises(UserError, match=r"process \d+ on .* is writing to index milvus://"):
            other.writer()
        add_picture(writer, "/data/new.jpg")
        writer.commit()
    with other.writer() as writer:  # it has been let go
        assert list(writer.states()) == ["/data/new.jpg"]


def test_nobody_is_forgotten_while_somebody_writes(index, other):
    fill(index)
    person_id = all_persons(index)[0].person_id
    with index.writer():
        with pytest.raises(UserError, match="is writing to index"):
            other.forget([person_id])
    assert other.forget([person_id]) == 1


@pytest.mark.parametrize(
    ("first", "second", "is_allowed"),
    [
        ((1, 2), (2, 2), True),
        ((1, 2), (1, 2), False),
        ((1, 2), (2, 3), False),
        ((1, 2), (0, 0), False),
        ((0, 0), (1, 1), False),
        ((0, 0), (0, 0), False),
    ],
)
def test_which_writers_go_together(index, other, first, second, is_allowed):
    lease = WriterLease(index, *first)
    if is_allowed:
        WriterLease(other, *second).release()
    else:
        with pytest.raises(UserError, match="is writing to index"):
            WriterLease(other, *second)
    lease.release()


def test_the_lease_of_a_killed_writer_is_taken_over(index, other, monkeypatch):
    monkeypatch.setattr(milvus_lease, "PATIENCE", 10 * BEAT)  # nobody else is taken for dead here
    killed = index.writer()
    stand_still(killed._lease)
    with other.writer():
        assert len(other.query("_leases", "writer_id >= 0", ["writer_id"])) == 1
    killed.close()


def test_a_writer_that_was_taken_for_dead_stops(index, other, monkeypatch):
    """Its server was away for a while, and another writer has begun."""
    monkeypatch.setattr(milvus_lease, "PATIENCE", 1000)  # it need not wait so long to know
    with index.writer() as writer:
        add_picture(writer, "/data/new.jpg")
        other.delete("_leases", [writer._lease._row["writer_id"]])
        deadline = time.monotonic() + 10
        while not writer._lease.is_lost and time.monotonic() < deadline:
            time.sleep(BEAT)
        with pytest.raises(UserError, match="another process may write to it by now"):
            writer.commit()
    assert other.counts().persons == 0


def test_a_writer_that_could_not_renew_its_lease_stops(index, monkeypatch):
    with index.writer() as writer:
        stand_still(writer._lease)
        add_picture(writer, "/data/new.jpg")
        monkeypatch.setattr(milvus_lease, "PATIENCE", 0)  # so much time is over
        with pytest.raises(UserError, match="was not reached for 0 s"):
            writer.commit()
    assert index.counts().persons == 0


def test_a_refused_writer_leaves_no_lease(index, other):
    with index.writer():
        with pytest.raises(UserError):
            other.writer()
        assert len(other.query("_leases", "writer_id >= 0", ["writer_id"])) == 1
    assert other.query("_leases", "writer_id >= 0", ["writer_id"]) == []


def test_an_index_that_is_refused_leaves_no_connection(index, tmp_path, monkeypatch):
    closed = []
    connect = milvus._connect

    def remember(location, address):
        client = connect(location, address)
        close = client.close
        monkeypatch.setattr(client, "close", lambda: (closed.append(location), close()))
        return client

    monkeypatch.setattr(milvus, "_connect", remember)
    other = f"milvus://{tmp_path}/lite.db/others"
    with pytest.raises(UserError, match="there is no index"):
        open_index(other)
    assert closed == [other]


def test_a_database_that_another_process_has_open(index, location, tmp_path):
    status, out, err = run_captured(
        tmp_path, command.run, "query", "--person", 1, "--index", location
    )
    assert status == 2 and "Traceback" not in out + err
    last = err.splitlines()[-1]
    assert last.startswith("error: ") and "end other programs that have it open" in last

"""Who is left out of a search's hits: the query itself."""

import os

import numpy as np
import pytest

from person_search.index import NO_FILTERS, NewFrame, Source, open_index
from person_search.search.query import Query, query_of_person
from person_search.search.searching import own_detections, search_others
from tests.person_search.index.made_up_index import DIM, INFO, unit

# In every frame: 0 and 1 overlap by 8 x 20 of 12 x 20 pixels (IoU 2/3), 2 stands apart.
BOXES = [[0, 0, 10, 20], [2, 0, 12, 20], [50, 0, 60, 20]]


@pytest.fixture
def index(tmp_path):
    with open_index(str(tmp_path / "index"), create=INFO) as index:
        with index.writer() as writer:
            for path, stamps in (("/data/a.jpg", [None]), ("/data/v.mp4", [-5, 7])):
                writer.begin(Source(path, 10, mtime_ns=1, recipe="{}", camera="c", start=1.0))
                for pts in stamps:
                    writer.add(
                        path,
                        NewFrame(
                            pts=pts,
                            offset=float(pts or 0),
                            width=100,
                            height=50,
                            boxes=np.array(BOXES, np.float32),
                            scores=np.array([0.9, 0.8, 0.7], np.float32),
                            features=unit(3, seed=abs(pts or 0)),
                        ),
                    )
                writer.finish(path)
            writer.commit()
        index.refresh()
        yield index


def query(name, box):
    return Query(name, None, tuple(map(float, box)), unit(1)[0])


def ids_at(index, path, pts=None):
    frame = index.find_frames(path, pts)[0]
    by_score = sorted(index.persons(frame.frame_id), key=lambda person: -person.score)
    return [person.person_id for person in by_score]


@pytest.mark.parametrize(
    ("name", "box", "which"),
    [
        ("/data/a.jpg", BOXES[0], 0),
        ("/data/a.jpg", BOXES[1], 1),  # not the other one, who overlaps with it too
        ("/data/a.jpg", [50, 0, 60, 39], 2),  # IoU 20/39 = 0.51
        ("/data/a.jpg", [50, 0, 60, 41], None),  # IoU 20/41 = 0.49
        ("/data/a.jpg", [0, 0, 100, 50], None),  # the whole picture
        ("/elsewhere/a.jpg", BOXES[0], None),
        ("/data/v.mp4#7", BOXES[2], 2),
        ("/data/v.mp4#-5", BOXES[2], 2),
        ("/data/v.mp4#8", BOXES[2], None),
        ("/data/v.mp4", BOXES[2], 2),  # no frame is said
    ],
)
def test_the_own_detection_is_the_one_in_the_query_s_box_and_frame(index, name, box, which):
    path, _, pts = name.partition("#")
    found = own_detections(index, [query(name, box)])
    if which is None:
        assert found == ()
    else:
        assert ids_at(index, path, int(pts) if pts else None)[which] in found


def test_a_relative_path_and_a_link_are_the_same_frame(index, tmp_path, monkeypatch):
    expected = (ids_at(index, "/data/a.jpg")[0],)
    assert own_detections(index, [query(os.path.relpath("/data/a.jpg"), BOXES[0])]) == expected
    (tmp_path / "link.jpg").symlink_to("/data/a.jpg")
    assert own_detections(index, [query(str(tmp_path / "link.jpg"), BOXES[0])]) == expected


@pytest.mark.parametrize("top", [1, 4, 8, 50])
def test_as_many_others_as_are_asked_for_are_found(index, top):
    queries = [query_of_person(index, person_id) for person_id in ids_at(index, "/data/a.jpg")[:2]]
    own = own_detections(index, queries)
    found = search_others(index, queries, NO_FILTERS, top, cws=False, own=own)
    assert found.own == own == tuple(sorted(q.person.person_id for q in queries))
    assert [hit.rank for hit in found.hits] == list(range(1, min(top, 7) + 1))
    assert not {hit.person.person_id for hit in found.hits} & set(own)
    feature = sum(q.feature for q in queries)
    similarities = index.features([h.person.person_id for h in found.hits]) @ feature
    assert list(similarities) == sorted(similarities, reverse=True)
    assert DIM == len(feature)

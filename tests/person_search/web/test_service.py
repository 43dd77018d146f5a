"""What the page asks of an index."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from person_search.errors import UserError
from person_search.index import NO_FILTERS, Filters, open_index
from person_search.web import service as service_module
from person_search.web.service import SearchService
from tests.person_search.index import made_up_index

from .made_up_world import OneFaceNetwork


def test_every_frame_is_on_one_page(service, monkeypatch):
    monkeypatch.setattr(service_module, "FRAMES_PER_PAGE", 6)
    pages = [service.frame_page(NO_FILTERS, number) for number in (1, 2, 3, 4)]
    assert [page.num_pages for page in pages] == [4] * 4
    assert [len(page.frames) for page in pages] == [6, 6, 6, 2]
    frames = [shown.frame for page in pages for shown in page.frames]
    assert len({frame.name for frame in frames}) == 20 == pages[0].num_frames
    assert [f.time for f in frames] == sorted(f.time for f in frames)


@pytest.mark.parametrize(("asked", "given"), [(-3, 1), (0, 1), (2, 1), (99, 1)])
def test_a_page_that_is_not_there_is_the_nearest(service, asked, given):
    assert service.frame_page(NO_FILTERS, asked).number == given


def test_a_filter_that_nothing_passes_gives_an_empty_page(service):
    page = service.frame_page(Filters(cameras=("none",)), 1)
    assert (page.frames, page.num_pages, page.num_frames) == ((), 1, 0)


def test_persons_of_a_low_score_are_not_shown(service):
    pages = [service.frame_page(Filters(min_score=s), 1) for s in (0.0, 0.8)]
    scores = [[p.score for shown in page.frames for p in shown.persons] for page in pages]
    assert scores[1] and min(scores[1]) >= 0.8
    assert sorted(scores[1]) == sorted(s for s in scores[0] if s >= 0.8)


def test_neighbors_walk_through_a_camera(service):
    frames = [shown.frame for shown in service.frame_page(NO_FILTERS, 1).frames]
    of_camera = [frame for frame in frames if frame.camera == "c1"]
    assert len(of_camera) > 2
    assert service.neighbor(of_camera[0], 1) == of_camera[1]
    assert service.neighbor(of_camera[1], -1) == of_camera[0]
    with pytest.raises(UserError, match="the first frame of camera c1"):
        service.neighbor(of_camera[0], -1)
    with pytest.raises(UserError, match="the last frame of camera c1"):
        service.neighbor(of_camera[-1], 1)


def test_the_person_is_found_again_and_not_itself(service, index, world):
    person_id, appearances = world.person_seen_by(2, index)
    query = service.query_of_person(person_id)
    hits = service.search([query], NO_FILTERS, 10, cws=False)
    others = len(appearances) - 1
    assert {h.person.person_id for h in hits[:others]} == set(appearances) - {person_id}
    assert [h.rank for h in hits] == list(range(1, 11))
    assert [h.similarity for h in hits] == sorted((h.similarity for h in hits), reverse=True)


def test_several_views_of_a_person_are_merged(service, index, world):
    _, appearances = world.person_seen_by(2, index)
    queries = [service.query_of_person(i) for i in appearances[:2]]
    hits = service.search(queries, NO_FILTERS, 5, cws=False)
    feature = np.mean([q.feature for q in queries], axis=0)
    similarity = index.features([hits[0].person.person_id])[0] @ feature / np.linalg.norm(feature)
    assert hits[0].similarity == pytest.approx(similarity, abs=1e-3)
    assert not {h.person.person_id for h in hits} & set(appearances[:2])


@pytest.mark.parametrize("top", [0, -1, 501])
def test_a_number_of_hits_out_of_range_is_refused(service, top):
    with pytest.raises(UserError, match="1 to 500"):
        service.search([service.query_of_person(1)], NO_FILTERS, top, cws=False)


def test_what_is_not_there_is_told(service):
    with pytest.raises(UserError, match="no person 99999"):
        service.query_of_person(99999)
    with pytest.raises(UserError, match="no frame of /nowhere.jpg"):
        service.find_frame("/nowhere.jpg", None)


def test_what_others_commit_is_seen_at_once(tmp_path):
    location = str(tmp_path / "index")
    with open_index(location, create=made_up_index.INFO) as mine, open_index(location) as other:
        service = SearchService(mine)
        assert service.summary() == ((0, 0, 0), None)
        made_up_index.fill(other)
        assert service.summary()[0] == (5, 7, 14)
        frames = [shown.frame for shown in service.frame_page(NO_FILTERS, 1).frames]
        assert [f.pts for f in frames] == [None] * 4 + [0, 10, 20]
        assert service.find_frame("/data/v.mp4", 0).frame == frames[4]
        query = service.query_of_person(1)
        assert len(service.search([query], NO_FILTERS, 20, cws=False)) == 13
        other.forget([1])
        with pytest.raises(UserError, match="no person 1;"):
            service.query_of_person(1)


def test_many_visitors_at_once(service):
    def visit(person_id):
        page = service.frame_page(NO_FILTERS, 1)
        query = service.query_of_person(person_id)
        hits = service.search([query], NO_FILTERS, 3, cws=False)
        return page.num_frames, [hit.person.person_id for hit in hits]

    alone = [visit(i) for i in range(1, 21)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(visit, [*range(1, 21)] * 5)) == alone * 5


def test_an_own_picture_needs_the_network(service, index):
    image = np.zeros((40, 60, 3), np.uint8)
    with pytest.raises(UserError, match="the network is elsewhere"):
        service.query_of_picture("a.jpg", image)
    with pytest.raises(UserError, match="the network is elsewhere"):
        service.detect(image)
    network = OneFaceNetwork(true_id=1)
    able = SearchService(index, network)
    np.testing.assert_array_equal(able.detect(image), [[15, 10, 30, 20]])
    assert able.query_of_picture("a.jpg", image).box == (0, 0, 60, 40)
    assert able.query_of_picture("a.jpg", image, (1, 2, 3, 4)).box == (1, 2, 3, 4)
    assert network.asked == [(0, 0, 60, 40), (1, 2, 3, 4)]
    with pytest.raises(UserError, match="is not in a.jpg, which is 60 x 40"):
        able.query_of_picture("a.jpg", image, (1, 2, 3, 400))

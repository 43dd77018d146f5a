"""The page as a browser parses it, and the rules behind what it shows."""

import base64
import json
import re
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest

from fully_decoupled_ps.errors import UserError
from fully_decoupled_ps.visualization import query_cards, visualizer
from fully_decoupled_ps.visualization.report import FLOOR, TRAINED, UNTRAINED, write_report

from .made_up_run import BOXES, HOSTILE

VOID = {"meta", "link", "img", "br", "wbr"}


class Node:
    def __init__(self, tag, attributes, parent=None):
        self.tag, self.attributes, self.parent = tag, attributes, parent
        self.children, self.texts = [], []

    def find(self, tag, name=None):
        """All nodes below this one with the tag and the class, in the order of the page."""
        found = []
        for child in self.children:
            if child.tag == tag and (name is None or name in child.names):
                found.append(child)
            found += child.find(tag, name)
        return found

    @property
    def names(self):
        return (self.attributes.get("class") or "").split()

    @property
    def text(self):
        whole = "".join(t if isinstance(t, str) else t.text for t in self.texts)
        return " ".join(whole.split())


class Page(HTMLParser):
    """A tree of the page; an unbalanced tag is an AssertionError."""

    def __init__(self, path):
        super().__init__()
        self.root = self.open = Node("", {})
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)
        assert self.open is self.root

    def handle_starttag(self, tag, attributes):
        node = Node(tag, dict(attributes), self.open)
        self.open.children.append(node)
        self.open.texts.append(node)
        if tag not in VOID:
            self.open = node

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert tag == self.open.tag
        self.open = self.open.parent

    def handle_data(self, data):
        self.open.texts.append(data)


def make_page(run, **changes):
    return Page(write_report(run.folder / "out" / "report.html", **{**run.inputs, **changes})).root


@pytest.fixture(scope="module")
def big_page(big_run):
    return Page(write_report(big_run.folder / "out" / "report.html", **big_run.inputs))


def change_queries(run, change):
    path = run.inputs["queries_file"]
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def decode(image):
    data = base64.b64decode(image.attributes["src"].partition("base64,")[2])
    return cv2.cvtColor(cv2.imdecode(np.frombuffer(data, np.uint8), 1), cv2.COLOR_BGR2RGB)


def shows(picture, style):
    """Whether a good part of the picture has the style's colour, as well as JPEG keeps it."""
    return (np.abs(picture.astype(int) - style.color).max(axis=2) < 40).sum() > 100


def test_page_is_complete_in_itself(big_page):
    assert not re.search(r"https?:|url\(|@import|<script|javascript:", big_page.source)
    images = big_page.root.find("img")
    kinds = [re.match("data:image/(jpeg|svg.xml);", i.attributes["src"])[1] for i in images]
    assert set(kinds) == {"jpeg", "svg+xml"}
    assert [link.attributes["href"] for link in big_page.root.find("link")] == ["data:,"]
    targets = [a.attributes["href"] for a in big_page.root.find("a")]
    assert targets and all(target.startswith("#") for target in targets)
    assert len(big_page.source) < 4e6


def test_page_is_accessible(big_page):
    root = big_page.root
    (html,) = root.find("html")
    assert html.attributes["lang"] == "en"
    assert all(image.attributes["alt"] for image in root.find("img"))
    assert all({"width", "height"} <= set(image.attributes) for image in root.find("img"))
    charts = [i for f in root.find("figure", "panel") for i in f.find("img")]
    assert "all losses together from" in charts[0].attributes["alt"]
    pictures = [svg for svg in root.find("svg") if svg.attributes.get("aria-hidden") != "true"]
    assert pictures and all(
        svg.attributes["role"] == "img" and svg.attributes["aria-label"] for svg in pictures
    )
    levels = [int(level) for level in re.findall(r"<h([1-6])", big_page.source)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(b - a <= 1 for a, b in zip(levels, levels[1:], strict=False))
    for table in root.find("table"):
        assert table.find("caption")
        assert all("scope" in th.attributes for th in table.find("th"))


def test_ids_are_unique_and_the_jumps_lead_to_the_queries(big_page):
    root = big_page.root
    ids = re.findall(r'\sid="([^"]*)"', big_page.source)
    assert len(ids) == len(set(ids))
    (jump,) = root.find("ul", "jump")
    targets = [a.attributes["href"][1:] for a in jump.find("a")]
    assert targets == [card.attributes["id"] for card in root.find("article")]


def test_a_dozen_queries_are_shown_the_hardest_among_them(big_page):
    cards = big_page.root.find("article")
    shown = [int(card.attributes["id"].partition("-")[2]) for card in cards]
    # AP falls with the id: 8 spread over 0..25, and the last 4
    assert shown == [0, 3, 7, 10, 14, 17, 21, 25, 26, 27, 28, 29]
    assert [len(card.find("ol", "hits")[0].find("li")) for card in cards] == [10] * 12


def test_each_hit_has_its_verdict_similarity_camera_and_frame(big_page, big_run):
    for card in big_page.root.find("article"):
        query = big_run.queries[int(card.attributes["id"].partition("-")[2])]
        items = card.find("ol", "hits")[0].find("li")
        for item, hit in zip(items, query["hits"], strict=True):
            verdict = "right" if hit["correct"] else "wrong"
            assert item.names == [verdict]
            assert f"{hit['rank']}. {verdict}" in item.text
            assert f"{hit['similarity']:.3f}" in item.text
            assert f"camera {hit['camera_id']}" in item.text and hit["image_id"] in item.text
            assert verdict in item.find("img")[0].attributes["alt"]


def test_colours_of_the_pictures_say_the_same_as_the_words(big_page):
    card = big_page.root.find("article")[4]  # query 14: 5 right, 5 wrong hits
    (who,) = card.find("div", "who")
    assert shows(decode(who.find("img")[0]), visualizer.QUERY)
    for item in card.find("ol", "hits")[0].find("li"):
        picture = decode(item.find("img")[0])
        assert shows(picture, visualizer.RIGHT) == ("right" in item.names)
        assert shows(picture, visualizer.WRONG) == ("wrong" in item.names)
    (misses,) = card.find("div", "misses")
    assert all(shows(decode(image), visualizer.MISSED) for image in misses.find("img"))


def test_a_wrong_hit_says_where_the_person_was(big_page):
    hits = big_page.root.find("article")[-1].find("ol", "hits")[0].find("li")
    nowhere, elsewhere, beside = hits[2], hits[0], hits[1]  # see make_query
    assert not nowhere.find("div", "note")
    assert "stands elsewhere in this frame" in elsewhere.text
    frame = decode(elsewhere.find("img")[1])
    assert frame.shape[1] == query_cards.FRAME_WIDTH
    assert "IoU 0.50 with the person: too little" in beside.text


def test_missed_persons_undetected_first_the_rest_counted(run):
    (misses,) = make_page(run).find("article")[0].find("div", "misses")
    reasons = [p.text for p in misses.find("p", "reason")]
    assert reasons == ["not detected"] * 3 + ["below the first 10"] * 5
    change_queries(run, lambda c: c["queries"][0]["missed"].extend(c["queries"][0]["missed"][:3]))
    (misses,) = make_page(run).find("article")[0].find("div", "misses")
    assert len(misses.find("img")) == query_cards.NUM_MISSED and "and 3 more" in misses.text


@pytest.mark.parametrize(
    "rank, name, words",
    [
        (1, "found", "first right hit at rank 1"),
        (4, "late", "first right hit at rank 4"),
        (14, "missing", "rank 14, below those shown"),
        (None, "missing", "never found"),
    ],
)
def test_status_of_a_query(run, rank, name, words):
    change_queries(run, lambda c: c["queries"][0].update(first_hit_rank=rank))
    card = make_page(run).find("article")[0]
    (status,) = card.find("p", name)
    assert words in status.text and status.text[0] in "✓↓✕"


def test_table_of_results(big_page):
    search, detection = big_page.root.find("table")
    rows = [[cell.text for cell in row.find("th") + row.find("td")] for row in search.find("tr")]
    assert rows[0] == ["Method", "mAP", "top-1", "top-5", "top-10"]
    assert [row[0] for row in rows if len(row) == 1] == ["Full gallery", "Multi view gallery"]
    assert rows[2] == [TRAINED, "80.0", "81.0", "82.0", "83.0"]
    assert rows[3][1:] == ["78.0", "79.0", "80.0", "81.0"] and "class-weighted" in rows[3][0]
    assert rows[4] == [UNTRAINED, "21.5", "22.5", "23.5", "24.5"]
    assert rows[5] == [FLOOR, "8.5", "9.5", "10.5", "11.5"]
    assert rows[7] == [TRAINED, "76.0", "77.0", "78.0", "79.0"]
    assert rows[9][1:] == ["n/a"] * 4  # the reference has no figures of this gallery
    assert [td.text for td in detection.find("td")][:2] == ["93.2", "97.5"]


def test_variants_of_a_search_stand_with_their_gallery(run):
    path = run.inputs["results"]
    content = json.loads(path.read_text())
    for i, suffix in enumerate(("_cbgm", "_cbgm_cws", "_score0.3", "_score0.3_cws", "_gt_boxes")):
        content["search_multi_view" + suffix] = {"mAP": i}
    path.write_text(json.dumps(content))
    search = make_page(run).find("table")[0]
    part = search.find("tbody")[1]
    rows = {row.find("th")[0].text: row.find("td") for row in part.find("tr", "ours")}
    assert len(search.find("tbody")) == 2
    assert [(label, cells[0].text) for label, cells in rows.items()] == [
        (TRAINED, "76.0"),
        (f"{TRAINED}, with class-weighted similarity", "74.0"),
        (f"{TRAINED}, with context matching", "0.0"),
        (f"{TRAINED}, with context matching and class-weighted similarity", "1.0"),
        (f"{TRAINED}, with detections from a score of 0.3", "2.0"),
        (f"{TRAINED}, with detections from a score of 0.3 and class-weighted similarity", "3.0"),
        (f"{TRAINED}, with the true boxes (upper bound)", "4.0"),
    ]


def test_what_was_not_run_says_so(run):
    root = make_page(run, floor=None, untrained=None, training_logs=None, facts=None)
    (search, detection) = root.find("table")
    assert [td.text for td in search.find("td", "none")] == ["not run"] * 4
    assert [td.text for td in detection.find("td", "none")] == ["not run"]
    bars = [bar.text for bar in root.find("div", "bar")]
    assert sum("not run" in bar for bar in bars) == 4
    assert "No training log" in root.text


def test_figures_that_are_nan_are_not_numbers(run):
    path = run.inputs["results"]
    content = json.loads(path.read_text())
    content["search"]["mAP"] = float("nan")
    path.write_text(json.dumps(content))
    row = make_page(run).find("table")[0].find("tr", "ours")[0]
    assert [td.text for td in row.find("td")][:2] == ["n/a", "81.0"]


def test_names_from_the_dataset_cannot_break_the_page(run):
    def rename(content):
        content["dataset"] = content["protocol"] = HOSTILE
        for query in content["queries"]:
            for record in (query, *query["hits"], *query["missed"]):
                record["image_id"] = HOSTILE
            query["missed"][0]["reason"] = HOSTILE

    change_queries(run, rename)
    root = make_page(run, title=HOSTILE, facts={HOSTILE: HOSTILE})
    assert not any("onerror" in image.attributes for image in root.find("img"))
    assert root.find("h1")[0].text == HOSTILE and root.find("dd")[0].text == HOSTILE
    first = root.find("article")[0]
    assert HOSTILE in first.find("p", "where")[0].text
    assert HOSTILE in first.find("img")[1].attributes["alt"]


def test_names_of_scalars_cannot_break_the_page(run, tmp_path):
    log = tmp_path / "metrics.json"
    log.write_text(json.dumps({"iteration": 1, f"loss{HOSTILE}": 0.5}))
    root = make_page(run, training_logs={"reid": log})
    assert not any("onerror" in image.attributes for image in root.find("img"))
    (image,) = [i for f in root.find("figure", "panel") for i in f.find("img")]
    assert "onerror" in image.attributes["alt"]


def test_queries_without_ground_truth_are_left_out_and_counted(run):
    def empty(content):
        for query in content["queries"][-2:]:
            query.update(num_gt=0, num_tp=0, ap=0.0, missed=[])

    change_queries(run, empty)
    root = make_page(run)
    shown = [card.attributes["id"] for card in root.find("article")]
    assert shown == ["query-0"]
    assert "Left out are 2 whose person is nowhere in the gallery" in root.text


def test_query_without_hits_or_camera(run):
    def strip(content):
        content["queries"][0].update(hits=[], missed=[], camera_id=None)

    change_queries(run, strip)
    card = make_page(run).find("article")[0]
    assert "Nothing was detected" in card.text and not card.find("ol")
    assert card.find("p", "where")[0].text == run.queries[0]["image_id"]


def test_no_query_at_all_is_a_page_too(run):
    change_queries(run, lambda c: c.update(queries=[]))
    assert not make_page(run).find("article")


def test_selection_is_spread_over_the_ranking_and_keeps_both_ends():
    for total in range(13, 60):
        chosen = query_cards.select_queries(range(total))
        assert chosen == sorted(set(chosen)) and len(chosen) == 12
        assert chosen[0] == 0 and chosen[-4:] == list(range(total - 4, total))
        steps = np.diff(chosen[:8])
        assert steps.max() - steps.min() <= 1
    assert query_cards.select_queries(range(12)) == list(range(12))
    assert query_cards.select_queries("abcdefghij", count=5, hardest=2) == list("adhij")


def test_equal_queries_are_chosen_by_their_number(run):
    change_queries(run, lambda c: [q.update(ap=1.0) for q in c["queries"]])
    change_queries(run, lambda c: c["queries"].reverse())
    cards = make_page(run).find("article")
    assert cards[0].attributes["id"] == "query-0" and cards[-1].attributes["id"] == "query-2"


@pytest.mark.parametrize(
    "correct, gt_bbox, found_at, verdict, note",
    [
        (None, None, None, "not judged", ""),
        (True, [0, 0, 10, 10], 4, "right", ""),
        (False, None, None, "wrong", ""),
        (False, [50, 0, 60, 10], None, "wrong", "the person stands elsewhere in this frame"),
        (False, [50, 0, 60, 10], 2, "wrong", "the person, right at rank 2, stands elsewhere"),
        (False, [0, 0, 10, 9], 2, "wrong", "IoU 0.90 with the person, who counts once, at rank 2"),
        (False, [0, 0, 10, 4], 7, "wrong", "IoU 0.40 with the person: too little"),
        (False, [0, 0, 10, 4], None, "wrong", "IoU 0.40 with the person: too little"),
    ],
)
def test_judge(correct, gt_bbox, found_at, verdict, note):
    hit = {"rank": 4, "bbox": [0, 0, 10, 10], "correct": correct, "gt_bbox": gt_bbox}
    judged = query_cards.judge(hit, found_at)
    assert judged[0] == verdict and judged[1].startswith(note) and bool(judged[1]) == bool(note)


def test_person_found_in_the_frame_by_another_hit_is_not_shown_as_missed(run):
    def same_frame(content):
        right, wrong = content["queries"][1]["hits"][4:6]  # see make_query: the last right one
        frame = ("image_id", "file_name", "camera_id")
        wrong.update({name: right[name] for name in frame}, gt_bbox=BOXES[1])

    change_queries(run, same_frame)
    item = make_page(run).find("article")[1].find("ol", "hits")[0].find("li")[5]
    assert "the person, right at rank 5, stands elsewhere" in item.text
    assert len(item.find("img")) == 1


def test_pictures_that_moved_are_found_under_the_root_and_nowhere_else(tmp_path):
    root = tmp_path / "frames"
    (root / "b").mkdir(parents=True)
    for path in (root / "b" / "c.jpg", root / "c.jpg", tmp_path / "d.jpg"):
        path.write_bytes(b"")
    find = query_cards.find_image
    assert find("/old/place/b/c.jpg", root) == root / "b" / "c.jpg"
    assert find("/old/place/c.jpg", root) == root / "c.jpg"
    assert find("../d.jpg", root) == root / "d.jpg"
    assert str(find("/old/c.jpg", None)) == "/old/c.jpg"


def test_report_of_a_run_whose_pictures_moved(run, tmp_path):
    moved = tmp_path / "moved"
    run.folder.rename(moved)
    inputs = {
        name: moved / path.name if hasattr(path, "name") else path
        for name, path in run.inputs.items()
    }
    with pytest.raises(UserError, match="c.s1_0000.*folder"):
        write_report(tmp_path / "r.html", **{**inputs, "training_logs": None})
    write_report(tmp_path / "r.html", **{**inputs, "training_logs": None}, image_root=moved)


@pytest.mark.parametrize("name", ["results", "queries_file", "floor", "untrained"])
@pytest.mark.parametrize("content", [None, "[]", "{"])
def test_inputs_that_are_not_there_or_no_json_are_named(run, name, content):
    path = run.inputs[name]
    path.unlink() if content is None else path.write_text(content)
    with pytest.raises(UserError, match=path.name) as error:
        make_page(run)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "where, remove",
    [
        ("'protocol'", lambda c: c.pop("protocol")),
        (r"queries\[2\].*'ap'", lambda c: c["queries"][2].pop("ap")),
        (r"hits\[1\].*'similarity'", lambda c: c["queries"][0]["hits"][1].pop("similarity")),
        (r"missed\[0\].*'reason'", lambda c: c["queries"][0]["missed"][0].pop("reason")),
        ("version is 2", lambda c: c.update(version=2)),
    ],
)
def test_what_the_queries_lack_is_named(run, where, remove):
    change_queries(run, remove)
    with pytest.raises(UserError, match=f"queries_full.json.*{where}"):
        make_page(run)

"""Questions, persons and the history in headless Chromium, by keyboard alone, at two widths."""

from .visitor import DESKTOP, LOWER, UPPER, join, log


def test_a_question_is_shown_with_its_keys(visit, any_width):
    visitor = visit(size=any_width)
    assert visitor.fits()
    page = visitor.page
    assert page.locator(UPPER).count() == page.locator(LOWER).count() == 4
    for picture in page.locator(".lb-crop img").all():
        assert picture.evaluate("img => img.complete && img.naturalWidth > 0")
        assert picture.is_visible()
    keys = page.locator(".lb-tools [data-key]").evaluate_all("all => all.map(e => e.innerText)")
    assert [text.split()[-1] for text in keys] == list("sdunmzxfp")
    assert "0 decisions made, 9 persons of 9 tracklets" in page.inner_text(".lb-progress")
    assert "camera yard <2>" in page.inner_text("main")


def test_both_rows_of_large_groups_are_seen_at_once(visit, labelling, any_width):
    join(labelling, 1, 4, 7)
    join(labelling, 2, 5, 8)
    visitor = visit("/compare?a=1&b=2", any_width)
    assert visitor.page.locator(".lb-others .lb-crop").count() == 2 * 2 * 2
    tools = visitor.page.locator(".lb-tools").bounding_box()
    # a telephone has no room for the lower row's further tracklets
    which = ".lb-crop img" if any_width == DESKTOP else ".lb-first .lb-crop img"
    for picture in visitor.page.locator(which).all():
        place = picture.bounding_box()
        assert place["y"] + place["height"] <= tools["y"]
        assert place["x"] + place["width"] <= any_width["width"]
    assert visitor.fits()


def test_questions_are_answered(visit, folder, any_width):
    visitor = visit(size=any_width)
    a, b = map(visitor.unit_of, (UPPER, LOWER))
    assert "one person" in visitor.decide("s")
    assert "1 decision made, 8 persons" in visitor.page.inner_text(".lb-progress")
    # what comes next is said to those who do not see it
    assert "Upper: camera" in visitor.page.text_content("#said")
    assert visitor.marked() == visitor.page.get_attribute(f"{UPPER} >> nth=0", "data-item")
    assert "two persons" in visitor.decide("d")
    assert "nobody can tell" in visitor.decide("u")
    for key, row in (("n", UPPER), ("m", LOWER)):
        unit = visitor.unit_of(row)
        assert "no person" in visitor.decide(key)
        assert log(folder)[-1] == ("not_person", {"unit": unit})
    assert visitor.fits()
    kinds = [kind for kind, _ in log(folder)]
    assert kinds == ["same", "different", "unsure", "not_person", "not_person"]
    assert log(folder)[0] == ("same", {"a": a, "b": b})


def test_a_tracklet_is_split_before_the_marked_picture(visit, folder, any_width):
    visitor = visit(size=any_width)
    first = visitor.marked()
    visitor.press("x")  # nothing is before it
    assert "no picture of this tracklet before" in visitor.page.inner_text("#problem")
    visitor.press("ArrowRight", "ArrowRight")
    unit, _ = map(int, first.split("/"))
    assert visitor.marked() == f"{unit}/2"
    assert "somebody else from view 2 on" in visitor.decide("x")
    assert log(folder) == [("split", {"unit": unit, "view": 2})]
    # "Arrow down" leads to the other row and back
    upper = visitor.marked()
    visitor.press("ArrowDown")
    assert visitor.page.locator(f"{LOWER}:focus").count() == 1
    visitor.press("ArrowUp")
    assert visitor.marked() == upper
    assert "undone" in visitor.decide("z")
    assert log(folder)[-1] == ("undo", {"number": 1})


def test_letters_are_read_by_their_place_on_other_keyboards(visit, folder):
    """A Russian keyboard has another letter on the key of "d"; an input method says "Process"."""
    visitor = visit()
    press = """([key, code]) => document.activeElement.dispatchEvent(
        new KeyboardEvent('keydown', { key, code, bubbles: true, cancelable: true }))"""
    for number, (key, code) in enumerate((("\u0432", "KeyD"), ("Process", "KeyD")), 1):
        visitor.page.evaluate(press, [key, code])
        visitor.wait_for_answers(number)
    assert [kind for kind, _ in log(folder)] == ["different", "different"]


def test_a_tab_that_was_left_open_decides_nothing_that_it_does_not_show(visit, folder):
    """In another tab the upper tracklet is split, and more is decided."""
    first, second = visit("/compare?a=1&b=5"), visit("/compare?a=1&b=5")
    second.press("ArrowRight", "ArrowRight")
    second.decide("x")
    first.decide("s")
    problem = first.page.inner_text("#problem")
    assert "tracklet 1 was split" in problem
    assert [kind for kind, _ in log(folder)] == ["split"]
    first.decide("s")  # it was shown anew
    assert log(folder)[-1] == ("same", {"a": 1, "b": 5})
    # "undo" in the other tab is about the last decision that it has seen, its own
    second.decide("z")
    assert log(folder)[-1] == ("undo", {"number": 1})


def test_a_browser_that_keeps_nothing_can_decide(visit, folder):
    visitor = visit()
    visitor.page.add_init_script(
        "Object.defineProperty(window, 'sessionStorage', { get() { throw new Error('refused'); } })"
    )
    visitor.go()
    visitor.decide("d")
    assert [kind for kind, _ in log(folder)] == ["different"]


def test_a_held_key_decides_once(visit, folder):
    visitor = visit()
    visitor.page.keyboard.down("d")
    visitor.wait_for_answers(1)
    for _ in range(3):
        visitor.page.keyboard.down("d")  # as the system repeats it
        assert not visitor.page.evaluate("() => document.body.matches('.lb-busy')")
    visitor.page.keyboard.up("d")
    assert len(log(folder)) == 1


def test_a_key_pressed_twice_does_not_answer_what_nobody_has_seen(visit, folder):
    visitor = visit()
    # the second press comes a moment after the next question is shown
    visitor.page.evaluate(
        """() => document.addEventListener('shown', () => setTimeout(() => {
            const init = { key: 'd', code: 'KeyD', bubbles: true };
            document.activeElement.dispatchEvent(new KeyboardEvent('keydown', init));
        }, 50))"""
    )
    visitor.decide("d")
    visitor.page.wait_for_timeout(500)
    assert len(log(folder)) == 1


def test_what_contradicts_is_refused_in_words(visit, folder):
    visitor = visit("/compare?a=1&b=2")
    visitor.decide("s")
    problem = visitor.page.inner_text("#problem")
    assert "both seen by camera gate at 2024-05-31" in problem
    assert log(folder) == [] and visitor.said() == ""
    visitor.decide("d")
    assert visitor.page.locator("#problem").is_hidden()


def test_a_failure_of_the_server_is_told_and_does_not_block(visit, folder, monkeypatch):
    visitor = visit()
    with monkeypatch.context() as patched:
        patched.setattr("person_search.label.web.app.views", None)
        visitor.decide("d")
        assert "Saved. The server says 500" in visitor.page.inner_text("#problem")
    visitor.decide("z")
    assert visitor.page.locator("#problem").is_hidden()
    assert len(log(folder)) == 2


def test_all_questions_are_answered_until_none_is_left(visit, labelling):
    visitor = visit()
    for _ in range(40):
        if visitor.page.inner_text("h1") == "No question is left":
            break
        units = visitor.page.locator(f"{UPPER}, {LOWER}").evaluate_all(
            "all => [...new Set(all.map(e => (e.dataset.unit - 1) % 3))]"
        )
        visitor.decide("s" if len(units) == 1 else "d")
    assert visitor.page.inner_text("h1") == "No question is left"
    assert [group.units for group in labelling.groups()] == [(1, 4, 7), (2, 5, 8), (3, 6, 9)]
    visitor.decide("z")
    assert visitor.page.inner_text("h1") == "Are these one person?"


def test_a_person_s_tracklets_are_seen_and_one_is_taken_out(visit, labelling, folder, any_width):
    join(labelling, 1, 4, 7)
    visitor = visit("/person?unit=4", any_width)
    assert visitor.fits()
    assert visitor.page.inner_text("h1") == "Person 1: 3 tracklets"
    assert visitor.marked() == "4/0"  # the one that was asked for
    assert "taken out" in visitor.decide("t")
    assert log(folder)[-1] == ("detach", {"unit": 4, "rest": [1, 7]})
    assert visitor.page.inner_text("h1") == "Person 4: 1 tracklet"
    assert visitor.page.locator("[data-key=t]").count() == 0
    visitor.decide("z")
    assert visitor.page.inner_text("h1") == "Person 1: 3 tracklets"
    visitor.press("ArrowDown")
    visitor.decide("n")
    assert log(folder)[-1] == ("not_person", {"unit": 7})
    assert visitor.page.inner_text("h1") == "Person 1: 2 tracklets"


def test_persons_are_merged_by_number(visit, labelling, folder, any_width):
    join(labelling, 1, 4)
    visitor = visit("/persons", any_width)
    assert visitor.fits() and visitor.page.inner_text("h1") == "8 persons"
    visitor.press("Enter")
    visitor.page.wait_for_url("**/person?unit=1")
    visitor.page.wait_for_selector("[data-marked]:focus")
    visitor.press("Shift+Tab", "Shift+Tab")
    visitor.page.keyboard.type("7")
    visitor.press("Enter")
    visitor.page.wait_for_url("**/compare?a=1&b=7")
    visitor.page.wait_for_selector("[data-marked]:focus")
    assert visitor.fits()
    visitor.decide("s")
    assert log(folder)[-1] == ("same", {"a": 1, "b": 7})
    assert visitor.path() == "/person?unit=1"
    assert visitor.page.inner_text("h1") == "Person 1: 3 tracklets"


def test_a_number_of_nobody_is_told(visit):
    visitor = visit("/person?unit=1")
    answer = visitor.page.request.get(f"{visitor.url}person?number=99")
    assert answer.status == 404 and "there is no person 99" in answer.text()


def test_history_undoes_any_decision_and_redoes_it(visit, labelling, folder, any_width):
    join(labelling, 1, 4, 7)
    visitor = visit("/", any_width)
    visitor.press("h")
    visitor.page.wait_for_url("**/history")
    visitor.page.wait_for_selector("[data-marked]:focus")
    assert visitor.fits()
    visitor.press("ArrowDown")
    assert visitor.marked() == "1"
    assert "decision 1 undone" in visitor.decide("Enter")
    assert visitor.page.inner_text("[data-item='3']") == "Redo"
    assert len(labelling.group_of(1).units) == 1
    while visitor.marked() != "3":
        visitor.press("ArrowUp")
    visitor.decide("Enter")
    assert labelling.group_of(1).units == (1, 4, 7)
    assert log(folder)[2:] == [("undo", {"number": 1}), ("undo", {"number": 3})]

"""Somebody at the labelling page, and what they have decided."""

from contextlib import closing

from person_search.label.store import open_project

DESKTOP, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}
UPPER, LOWER = ".lb-side:nth-of-type(1) .lb-crop", ".lb-side:nth-of-type(2) .lb-crop"


class Visitor:
    """Somebody at the page who has a keyboard and no mouse."""

    def __init__(self, page, url):
        self.page, self.url = page, url

    def go(self, path="/"):
        self.page.goto(self.url.rstrip("/") + path)
        self.page.wait_for_selector("main [data-marked]:focus")

    def press(self, *keys):
        for key in keys:
            self.page.keyboard.press(key)

    def decide(self, key):
        """Press a key, and wait until its decision is on the disk; returns what is said of it."""
        before = self.page.evaluate("window.answers = window.answers ?? 0")
        self.press(key)
        self.wait_for_answers(before + 1)
        return self.said()

    def wait_for_answers(self, count):
        """Until so many decisions were answered, and what comes next is shown."""
        self.page.wait_for_function(
            "n => !document.body.matches('.lb-busy') && window.answers >= n", arg=count
        )

    def said(self):
        return self.page.inner_text("#said")

    def marked(self):
        """The unit and the view that are marked, which have the focus."""
        return self.page.get_attribute("main [data-marked]:focus", "data-item")

    def unit_of(self, row):
        return int(self.page.locator(row).first.get_attribute("data-unit"))

    def path(self):
        return self.page.url.removeprefix(self.url.rstrip("/"))

    def fits(self):
        """Whether nothing has to be scrolled sideways, and no text is cut."""
        return self.page.evaluate(
            """() => document.documentElement.scrollWidth <= window.innerWidth
            && [...document.querySelectorAll('.ps-control, h1, h2, h3, p')]
                .every((part) => part.scrollWidth <= part.clientWidth + 1)"""
        )


def log(folder):
    """Kinds and payloads of all decisions on the disk."""
    with closing(open_project(folder)) as project:
        return [(d.kind, d.payload) for d in project.decisions()]


def join(labelling, *units):
    for a, b in zip(units, units[1:]):
        labelling.decide(f"{a:016x}{b:016x}", "same", {"a": a, "b": b})

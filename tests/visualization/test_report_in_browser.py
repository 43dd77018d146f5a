"""The report on a phone, in headless Chromium."""

from fully_decoupled_ps.visualization.report import write_report
from tests.person_search.web.browser import chromium

from .made_up_run import make_run


def test_on_a_phone_it_is_short_and_nothing_is_scrolled_sideways(tmp_path):
    """All that a report can show: 12 queries with wrong hits, notes and 8 missed persons each."""
    path = write_report(tmp_path / "report.html", **make_run(tmp_path / "run").inputs)
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 390, "height": 844})
        page.goto(path.as_uri())
        assert page.locator("article").count() == 12
        assert page.evaluate("document.documentElement.scrollHeight") < 12_000
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        # pictures and words of a strip can still be read
        sizes = page.locator(".hits li > img").evaluate_all("all => all.map(e => e.clientWidth)")
        assert min(sizes) >= 60

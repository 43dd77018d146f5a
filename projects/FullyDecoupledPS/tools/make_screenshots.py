#!/usr/bin/env python
"""Take the documentation's pictures: the page of person-search serve, a montage, a sheet, a map.

    make demo
    python make_screenshots.py --output docs/images

It indexes the synthetic test frames with the network that `make demo` trained, and drives the page
in headless Chromium. Then it draws the training frames as person-search check-dataset shows them,
and what tools/visualize.py makes of that network. With --index it takes only the pictures of the
page and the montage, of an index that is there, and with --project those of the labelling page, of
a project of person-search label; the persons will be recognisable in them.
"""

import argparse
import contextlib
import io
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

from PIL import Image

from fully_decoupled_ps.data.datasets.prw import load_prw
from fully_decoupled_ps.errors import UserError
from fully_decoupled_ps.utils.commands import command_parser, in_one_line
from person_search.cli.main import main as person_search
from person_search.index import Person, PersonIndex, open_index
from person_search.label.labelling import Labelling
from person_search.label.store import open_project
from person_search.label.web.app import make_app
from person_search.label.web.service import LabelService
from person_search.web.service import SearchService

PROJECT = Path(__file__).resolve().parent.parent
CONFIG = PROJECT / "configs" / "synthetic" / "faster_rcnn_R18.yaml"
CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
DESKTOP, PHONE = {"width": 1120, "height": 800}, {"width": 400, "height": 800}
MAX_BYTES = 300_000
NUM_HITS = 19  # with the query two rows of a montage
# In the first of so many frames somebody is chosen whom many cameras saw.
NUM_FRAMES = 150
ENOUGH_PERSONS = 5  # in a frame, to show how they are told apart
SIMILAR = 0.6  # so that a hit probably is the person
SHEET_FRAMES = 6
logger = logging.getLogger("make_screenshots")


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = command_parser(__doc__)
    add = parser.add_argument
    add("--output", type=Path, required=True, metavar="DIR", help="where the PNG files go")
    add("--run", type=Path, default=Path("output/demo"), help="of make demo (default: output/demo)")
    add("--index", metavar="DIR", help="take the pictures of this index instead")
    add("--project", metavar="DIR", help="take those of this labelling project instead")
    return parser.parse_args(argv)


@contextlib.contextmanager
def served(service: SearchService, folder: Path) -> Iterator[str]:
    """Serve the page from a thread; yields its address. Uploaded files go to ``folder``."""
    from person_search.web.server import make_app

    with mock.patch.dict(os.environ, GRADIO_TEMP_DIR=str(folder)):
        with running(make_app(service, "127.0.0.1")) as url:
            yield url


@contextlib.contextmanager
def running(app) -> Iterator[str]:
    """Serve a page's application from a thread; yields its address."""
    from person_search.web.listening import address, bind, make_server

    with bind("127.0.0.1", 0) as bound:
        server = make_server(app)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
        thread.start()
        while not server.started and thread.is_alive():
            time.sleep(0.01)
        try:
            yield address(bound, "127.0.0.1")
        finally:
            server.should_exit = True
            thread.join(timeout=10)


@contextlib.contextmanager
def chromium():
    """A headless browser: the system's, or the one that ``playwright install`` downloads.

    Raises:
        UserError: if there is none.
    """
    try:
        from playwright.sync_api import sync_playwright
    except ImportError as error:
        raise UserError("this needs the package playwright: pip install playwright") from error
    with sync_playwright() as playwright:
        found = next(filter(None, map(shutil.which, CHROMIUM)), None)
        if found is None and not os.path.exists(playwright.chromium.executable_path):
            raise UserError(
                "there is no Chromium; install it (apt-get install chromium, or "
                "playwright install chromium)"
            )
        # no sandbox: Chromium's own does not start for root, as in containers
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


def index_demo(run: Path) -> str:
    """Index the synthetic test frames in the current folder; returns the index's location."""
    dataset, model = run / "datasets" / "synthetic", run / "reid"
    if not (dataset / "synthetic.json").is_file() or not (model / "last_checkpoint").is_file():
        raise UserError(f"--run {run} is no finished run of `make demo`; run that first")
    for record in load_prw(str(dataset), "test"):
        camera = Path("recordings") / f"c{record['camera_id']}"
        camera.mkdir(parents=True, exist_ok=True)
        shutil.copy(record["file_name"], camera)
    location = "recordings-index"
    status = person_search(
        [
            *("index", "recordings", "--model", str(model), "--index", location),
            *("--start", "2024-05-31T09:00", "--time-pattern", r"c\ds\d_(?P<seconds>\d+)"),
        ]
    )
    if status:
        raise UserError("the frames could not be indexed; see above")
    return location


def choose_person(index: PersonIndex) -> Person:
    """Somebody whom many cameras saw, as far as similarities tell, and who is not alone."""
    best, most = None, (-1, -1)
    for frame in index.frames(limit=NUM_FRAMES):
        persons = index.persons(frame.frame_id)
        for person in persons:
            hits = index.search(index.features([person.person_id]), NUM_HITS)
            cameras = {h.person.frame.camera for h in hits if h.similarity >= SIMILAR}
            rating = len(cameras), min(len(persons), ENOUGH_PERSONS)
            if rating > most:
                best, most = person, rating
    if best is None:
        raise UserError(f"index {index.location} has no person; there is nothing to show")
    return best


def take_screenshots(browser, url: str, person: Person) -> Iterator:
    """Yields the name and the PNG of each."""
    page = browser.new_page(viewport=DESKTOP)
    page.goto(url)
    page.wait_for_selector("#ps-frames .ps-pick")
    yield "search-frames", settled(page)
    in_list = page.locator(f'#ps-frames [data-file="{person.frame.path}"]')
    while not in_list.count():
        text = page.locator("#ps-frames .ps-status").inner_text()
        page.get_by_role("button", name="Next page").first.click()
        page.wait_for_function(
            "text => document.querySelector('#ps-frames .ps-status').innerText !== text", arg=text
        )
    in_list.first.click()
    page.wait_for_selector("#ps-frame .ps-stage")
    yield "search-frame", settled(page)
    page.locator(f'#ps-frame .ps-pick[data-id="{person.person_id}"]').click()
    page.wait_for_selector("#ps-result ol .ps-pick")
    yield "search-result", settled(page)
    page.set_viewport_size(PHONE)
    page.locator("#ps-result .ps-heading").evaluate("heading => heading.scrollIntoView()")
    yield "search-phone", settled(page)


def settled(page) -> bytes:
    """A screenshot when what fades in is there; nothing in the page tells when that is."""
    page.wait_for_timeout(700)
    return page.screenshot()


def shrink(png: bytes, limit: int = MAX_BYTES) -> bytes:
    """A PNG of at most ``limit`` bytes, with fewer colours and, if that is not enough, smaller."""
    image = Image.open(io.BytesIO(png)).convert("RGB")
    while True:
        for colors in (256, 128, 64):
            buffer = io.BytesIO()
            image.quantize(colors, dither=Image.Dither.NONE).save(buffer, "PNG", optimize=True)
            if buffer.tell() <= limit:
                return buffer.getvalue()
        image = image.resize([max(round(side * 0.85), 1) for side in image.size])


def make_pictures(location: str, output: Path) -> None:
    """Write all pictures of an index."""
    output.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        open_index(location) as index,
        chromium() as browser,
    ):
        person = choose_person(index)
        montage = Path(folder, "montage.png")
        person_search(
            [
                *("query", "--person", str(person.person_id), "--index", location, "--csv"),
                *("--top", str(NUM_HITS), "--montage", str(montage)),
            ]
        )
        with served(SearchService(index), Path(folder)) as url:
            shots = list(take_screenshots(browser, url, person))
        for name, png in (*shots, ("query-montage", montage.read_bytes())):
            write_picture(output / f"{name}.png", png)


def take_labelling(folder: str, output: Path) -> None:
    """Write the pictures of a project's labelling page; nothing is decided there."""
    output.mkdir(parents=True, exist_ok=True)
    with (
        contextlib.closing(open_project(folder)) as project,
        contextlib.closing(open_project(folder)) as pictures,
        chromium() as browser,
        running(make_app(LabelService(Labelling(project), pictures), "127.0.0.1")) as url,
    ):
        for name, size in (("label-question", DESKTOP), ("label-phone", PHONE)):
            page = browser.new_page(viewport=size)
            page.goto(url)
            write_picture(output / f"{name}.png", settled(page))


def write_picture(path: Path, png: bytes) -> None:
    path.write_bytes(shrink(png))
    logger.info("%s: %d KB", path, path.stat().st_size // 1000)


def draw_training(run: Path, output: Path) -> None:
    """Write the pictures of the demo's training data, and of what its network learnt from them.

    Raises:
        UserError: if a command fails; it has said why.
    """
    with tempfile.TemporaryDirectory() as folder:
        sheet, embedding = Path(folder, "sheet.png"), Path(folder, "embedding.png")
        predictions = Path(folder, "reid", "inference", "synthetic_test", "predictions.npz")
        for command in (
            [
                *("-m", "person_search.cli.main", "check-dataset", "synthetic_train"),
                *("--sheet", sheet, "--sheet-frames", SHEET_FRAMES),
            ],
            [
                *(PROJECT / "train_net.py", "--config-file", CONFIG, "--eval-only"),
                *("SOLVER.STAGE", "reid", "MODEL.WEIGHTS", run / "reid" / "model_final.pth"),
                *("OUTPUT_DIR", folder, "TEST.SEARCH.SAVE_PREDICTIONS", True),
            ],
            [
                *(PROJECT / "tools" / "visualize.py", "embedding", predictions),
                *("--output", embedding),
            ],
        ):
            done = subprocess.run(
                [sys.executable, *map(str, command)],
                env={**os.environ, "DETECTRON2_DATASETS": str(run / "datasets")},
                stdout=subprocess.DEVNULL,
            )
            if done.returncode:
                raise UserError(f"{' '.join(map(str, command))} failed; see above")
        write_picture(output / "dataset-sheet.png", sheet.read_bytes())
        write_picture(output / "training-embedding.png", embedding.read_bytes())


@in_one_line
def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    output, run = args.output.absolute(), args.run.absolute()
    if args.project:
        take_labelling(args.project, output)
    elif args.index:
        make_pictures(args.index, output)
    else:
        with tempfile.TemporaryDirectory(prefix="person-search-") as folder:
            os.chdir(folder)  # so that the pictures show short names
            make_pictures(index_demo(run), output)
            draw_training(run, output)


if __name__ == "__main__":
    sys.exit(main())

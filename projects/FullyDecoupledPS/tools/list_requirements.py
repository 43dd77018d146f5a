#!/usr/bin/env python
"""Print what the installed project requires, one per line, for ``pip install --requirement``.

OpenCV comes as one of several distributions (opencv-python, -headless, -contrib, ...) that hold
the same module ``cv2`` and overwrite each other. ``opencv-python``, which setup.py names, is
left out where another of them is installed already. So is what would bring it in by its own
requirements; that is listed by ``--no-deps``, for ``pip install --no-deps --requirement``.

    python list_requirements.py --extra dev
    python list_requirements.py --extra label --no-deps
    python list_requirements.py --say-opencv   # only which of them is installed
"""

import argparse
import importlib.metadata
import sys
from collections.abc import Iterable

from packaging.requirements import Requirement

PROJECT = "fully-decoupled-ps"
OPENCV = "opencv-python"
# Distributions of our requirements that require it by its name.
REQUIRE_OPENCV = {"trackers"}


def select(
    requirements: Iterable[str], extras: Iterable[str], opencv: Iterable[str], no_deps: bool = False
) -> list[str]:
    """The requirements that apply to this machine, without OpenCV if another build is there.

    Args:
        requirements: as in a distribution's metadata, with markers.
        extras: groups of setup.py's ``extras_require``.
        opencv: names of the installed distributions that hold ``cv2``.
        no_deps: only those that are to be installed without their own requirements, which name
            OpenCV, instead of all others.
    """
    apart = {OPENCV, *REQUIRE_OPENCV} if set(opencv) - {OPENCV} else set()
    chosen = []
    for text in requirements:
        requirement = Requirement(text)
        marker, requirement.marker = requirement.marker, None
        if marker and not any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            continue
        is_apart = requirement.name in apart
        if is_apart and requirement.name != OPENCV if no_deps else not is_apart:
            chosen.append(str(requirement))
    return chosen


def find_opencv() -> list[str]:
    """Names of the installed distributions that hold the module ``cv2``."""
    names = importlib.metadata.packages_distributions().get("cv2", [])
    return sorted({name.lower().replace("_", "-") for name in names})


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--extra", action="append", default=[], help="with this group of setup.py's extras"
    )
    parser.add_argument(
        "--no-deps",
        action="store_true",
        help="only what has to be installed without its own requirements, and is left out else",
    )
    parser.add_argument("--say-opencv", action="store_true", help="only say which cv2 is used")
    args = parser.parse_args(arguments)
    opencv = find_opencv()
    if not args.say_opencv:
        requirements = importlib.metadata.requires(PROJECT)
        print("\n".join(select(requirements, args.extra, opencv, args.no_deps)))
        return 0
    versions = [f"{name} {importlib.metadata.version(name)}" for name in opencv]
    print(f"[setup] OpenCV (cv2) is {', '.join(versions) or 'not installed'}")
    if len(opencv) > 1:
        print(
            f"warning: {len(opencv)} distributions hold cv2 and overwrite each other; uninstall "
            "all of them, then install one again",
            file=sys.stderr,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())

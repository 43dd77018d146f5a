"""Which pictures and videos there are at the paths that somebody names."""

import os
import stat
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from fully_decoupled_ps.predictor import PICTURE_ENDINGS, videos

from ..errors import UserError
from .files import MediaFile

# Folders in which file servers and systems keep previews, versions, and what was deleted; also
# passed over is all that begins with a dot: ._x of macOS, .thumbnails, .Trash, ...
LITTER = frozenset(
    (
        *("@eadir", "#recycle", "#snapshot", "@recycle", "@recently-snapshot", "@tmp"),
        *("__macosx", "$recycle.bin", "system volume information", "lost+found"),
    )
)
HIDDEN_FILES, HIDDEN_FOLDERS = "hidden file(s)", "hidden folder(s)"
OTHER_NAMES = "other name(s) of a file that is named anyway (links)"
NO_ENDING = "without ending"
# More are told as one number: some programs put a frame's number behind the last dot.
MAX_KINDS = 20
VIDEO_ENDINGS = videos.VIDEO_ENDINGS


@dataclass
class FoundFiles:
    """What is at the paths.

    Attributes:
        files: by path, none twice.
        passed_over: how many of each kind: an ending, a name of :data:`LITTER`, ...
        problems: path -> why it can't be read, one line: links to nothing, folders that can't be
            listed, pipes and devices, empty files.
    """

    files: list[MediaFile] = field(default_factory=list)
    passed_over: Counter[str] = field(default_factory=Counter)
    problems: dict[str, str] = field(default_factory=dict)

    def passed_over_text(self) -> str:
        """For people, such as "12 .txt, 3 .db, 1 without ending"; "" if there is nothing."""
        kinds = sorted(self.passed_over.items(), key=lambda item: (-item[1], item[0]))
        parts = [f"{count} {kind}" for kind, count in kinds[:MAX_KINDS]]
        if kinds[MAX_KINDS:]:
            rest = sum(count for _, count in kinds[MAX_KINDS:])
            parts.append(f"{rest} of {len(kinds) - MAX_KINDS} other endings")
        return ", ".join(parts)


def find_files(paths: Sequence[str]) -> FoundFiles:
    """The pictures and videos at ``paths``: files, and folders with all that is in them.

    In folders the ending of a name, in any case, tells pictures and videos from other files, which
    are counted. A file named itself is a picture unless it ends like a video. Symbolic links are
    followed. A file that has several names through links is taken once: by its real path if that
    is among them, else by the first of them. Hard links are files of their own. Nothing is opened.

    Raises:
        UserError: if there is nothing at one of the paths, or in a folder nothing that could be a
            picture or a video.
    """
    finder = _Finder()
    folders = []
    for path in dict.fromkeys(os.path.abspath(path) for path in paths):
        if os.path.isdir(path):
            folders.append(path)
        elif os.path.lexists(path):
            finder.add(path)
        else:
            raise UserError(f"{path}: no such file or folder; check the spelling")
    for folder in finder.walk(folders):
        others = finder.found.passed_over_text()
        raise UserError(
            f"folder {folder} holds no picture ({_list(PICTURE_ENDINGS)}) and no video "
            f"({_list(VIDEO_ENDINGS)}){others and f', but {others}'}; name a folder that does"
        )
    return finder.result()


def is_litter(path: str, folders: Sequence[str]) -> bool:
    """Whether a file in one of the folders is in one of :data:`LITTER`, so that it isn't found."""
    for folder in folders:
        root = os.path.join(os.path.abspath(folder), "")
        if path.startswith(root):
            parents = os.path.dirname(path[len(root) :]).lower().split(os.sep)
            if LITTER.intersection(parents):
                return True
    return False


def is_video(path: str) -> bool:
    """By its ending."""
    return _ending(path) in VIDEO_ENDINGS


def _list(endings) -> str:
    return " ".join(sorted(endings))


class RealPaths:
    """Calls return a file's path without links; each folder is looked up once."""

    def __init__(self):
        self._folders: dict[str, str] = {}

    def __call__(self, path: str) -> str:
        if os.path.islink(path):
            return os.path.realpath(path)
        folder, name = os.path.split(path)
        if folder not in self._folders:
            self._folders[folder] = os.path.realpath(folder)
        return os.path.join(self._folders[folder], name)


class _Finder:
    """Collects what :func:`find_files` returns."""

    def __init__(self):
        self.found = FoundFiles()
        self._real_path = RealPaths()
        self._files: dict[str, MediaFile] = {}  # by real path

    def result(self) -> FoundFiles:
        self.found.files = sorted(self._files.values(), key=lambda file: os.fsencode(file.path))
        return self.found

    def walk(self, roots: Sequence[str]) -> list[str]:
        """Look through folders, each once; returns the roots without anything to read."""
        seen, fruitful = set(), set()
        waiting = [(root, root) for root in sorted(roots, reverse=True)]
        # after all others, so that a real path is met before the links to it
        linked = [pair for pair in waiting if os.path.realpath(pair[0]) != pair[0]]
        waiting = [pair for pair in waiting if pair not in linked]
        while waiting or linked:
            if not waiting:
                waiting, linked = sorted(linked, reverse=True), []
            folder, root = waiting.pop()
            real = os.path.realpath(folder)
            if real in seen:
                fruitful.add(root)
                continue
            seen.add(real)
            folders, links, has_media = self._look_through(folder)
            waiting += [(name, root) for name in reversed(folders)]
            linked += [(name, root) for name in links]
            if has_media:
                fruitful.add(root)
        return [root for root in roots if root not in fruitful]

    def _look_through(self, folder: str) -> tuple[list[str], list[str], bool]:
        """Folders in a folder, links to folders, and whether anything is to be read, or told."""
        folders, links, has_media = [], [], False
        try:
            with os.scandir(folder) as iterator:
                entries = sorted(iterator, key=lambda entry: os.fsencode(entry.name))
        except OSError as error:
            self.found.problems[folder] = (
                f"folder {folder} can't be listed ({error.strerror}); correct its permissions"
            )
            return folders, links, True
        for entry in entries:
            kind = self._passed_over_as(entry)
            if kind:
                self.found.passed_over[kind] += 1
            elif _is_folder(entry):
                (links if entry.is_symlink() else folders).append(entry.path)
            else:
                self.add(entry.path)
                has_media = True
        return folders, links, has_media

    def _passed_over_as(self, entry: os.DirEntry) -> str:
        """What it counts as; "" if it is a folder, picture or video to be read."""
        name, is_folder = entry.name, _is_folder(entry)
        if name.startswith("."):
            return HIDDEN_FOLDERS if is_folder else HIDDEN_FILES
        if is_folder:
            return f"folder(s) {name}" if name.lower() in LITTER else ""
        ending = _ending(name)
        if ending in PICTURE_ENDINGS | VIDEO_ENDINGS:
            return ""
        if ending in ("", ".") and entry.is_symlink() and not os.path.exists(entry.path):
            return ""  # it may be the folder of a disk that is not there
        return NO_ENDING if ending in ("", ".") else ending

    def add(self, path: str) -> None:
        """Take a file, or note why it can't be read."""
        try:
            status = os.stat(path)
        except OSError as error:
            reason = error.strerror
            if os.path.islink(path):
                reason = f"a link to {os.readlink(path)}: {reason}"
            self.found.problems[path] = f"{path} can't be read ({reason}); mend or remove it"
            return
        problem = self._problem(path, status)
        if problem:
            self.found.problems[path] = f"{path} {problem}"
            return
        real = self._real_path(path)
        other = self._files.get(real)
        if other is not None:
            if other.path == path:
                return
            self.found.passed_over[OTHER_NAMES] += 1
            if other.path == real or path != real and other.path < path:
                return
        self._files[real] = MediaFile(path, is_video(path), status.st_size, status.st_mtime_ns)

    def _problem(self, path: str, status: os.stat_result) -> str:
        if not stat.S_ISREG(status.st_mode):
            return "is a pipe, a socket or a device, which can't be indexed; name a file"
        if status.st_size == 0:
            return "is empty; copy it again"
        return ""


def _ending(path: str) -> str:
    return os.path.splitext(path)[1].lower()


def _is_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # links in a circle, or no permission: it is told where it is read
        return False

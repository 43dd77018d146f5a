"""Which pictures and videos there are at the paths that somebody names."""

import functools
import os
import stat
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from fully_decoupled_ps.predictor import PICTURE_ENDINGS, videos

from ..errors import UserError
from .files import MediaFile

# Folders in which file servers and systems keep previews, versions, and deleted files. Names that
# begin with a dot are passed over, too: ._x of macOS, .thumbnails, .Trash, ...
LITTER = frozenset(
    ("@eadir", "#recycle", "#snapshot", "@recycle", "@recently-snapshot", "@tmp", "__macosx")
    + ("$recycle.bin", "system volume information", "lost+found")
)
HIDDEN_FILES, HIDDEN_FOLDERS = "hidden file(s)", "hidden folder(s)"
OTHER_NAMES = "other name(s) of a file that is named anyway (links)"
NO_ENDING = "without ending"
# Further kinds are summed up: some programs put a frame's number behind the last dot.
MAX_KINDS = 20
VIDEO_ENDINGS = videos.VIDEO_ENDINGS


@dataclass
class FoundFiles:
    """What :func:`find_files` returns."""

    files: list[MediaFile] = field(default_factory=list)  # sorted by path, without duplicates
    # numbers by kind: an ending, a name of LITTER, ...
    passed_over: Counter[str] = field(default_factory=Counter)
    # path -> why it can't be read, one line: broken links, folders that can't be listed, ...
    problems: dict[str, str] = field(default_factory=dict)

    def passed_over_text(self) -> str:
        """For people, such as "12 .txt, 3 .db, 1 without ending"; "" if there is nothing."""
        kinds = Counter(dict(sorted(self.passed_over.items()))).most_common()
        parts = [f"{count} {kind}" for kind, count in kinds[:MAX_KINDS]]
        if kinds[MAX_KINDS:]:
            rest = sum(count for _, count in kinds[MAX_KINDS:])
            parts.append(f"{rest} of {len(kinds) - MAX_KINDS} other endings")
        return ", ".join(parts)


def find_files(paths: Sequence[str]) -> FoundFiles:
    """The pictures and videos at ``paths``: files, and folders with all that is in them.

    In folders, pictures and videos are recognised by the ending of their names, in any case; other
    files are counted. A file that is named itself is a picture unless it ends like a video.
    Symbolic links are followed. A file with several names through links is taken once: by its real
    path if that is among them, else by the first of them. Hard links are files of their own. No
    file is opened.

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
    """Whether a file below one of the folders is passed over because of :data:`LITTER`."""
    for folder in map(os.path.abspath, folders):
        root = os.path.join(folder, "")
        parents = os.path.dirname(path[len(root) :]).lower().split(os.sep)
        if path.startswith(root) and LITTER.intersection(parents):
            return True
    return False


def is_video(path: str) -> bool:
    """Whether a path ends like a video's."""
    return _ending(path) in VIDEO_ENDINGS


def _list(endings) -> str:
    return " ".join(sorted(endings))


class RealPaths:
    """Calls return a file's path without links; each folder is looked up once."""

    def __init__(self):
        self._real_folder = functools.cache(os.path.realpath)

    def __call__(self, path: str) -> str:
        if os.path.islink(path):
            return os.path.realpath(path)
        folder, name = os.path.split(path)
        return os.path.join(self._real_folder(folder), name)


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
        """Look through folders, each once; returns the roots that hold nothing to read."""
        seen, fruitful = set(), set()
        waiting = [(root, root) for root in sorted(roots, reverse=True)]
        # links come last, so that a real path is met before the links to it
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
        """Folders in a folder, links to folders, and whether there is a file or a problem."""
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
        """The kind that an entry is counted as; "" for a folder, picture or video to be read."""
        name, is_folder = entry.name, _is_folder(entry)
        if name.startswith("."):
            return HIDDEN_FOLDERS if is_folder else HIDDEN_FILES
        if is_folder:
            return f"folder(s) {name}" if name.lower() in LITTER else ""
        ending = _ending(name)
        if ending in PICTURE_ENDINGS | VIDEO_ENDINGS:
            return ""
        if ending in ("", ".") and entry.is_symlink() and not os.path.exists(entry.path):
            return ""  # it may be a folder of a disk that is not mounted
        return NO_ENDING if ending in ("", ".") else ending

    def add(self, path: str) -> None:
        """Take a file, or note why it can't be read."""
        try:
            status = os.stat(path)
        except OSError as error:
            reason = error.strerror
            if os.path.islink(path):
                reason = f"a link to {os.readlink(path)}: {reason}"
            self.found.problems[path] = f"{path} can't be read ({reason}); repair or remove it"
            return
        if not stat.S_ISREG(status.st_mode):
            self.found.problems[path] = (
                f"{path} is a pipe, a socket or a device, which can't be indexed; name a file"
            )
            return
        if status.st_size == 0:
            self.found.problems[path] = f"{path} is empty; copy it again"
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


def _ending(path: str) -> str:
    return os.path.splitext(path)[1].lower()


def _is_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # links in a circle, or no permission: reported where it is read
        return False

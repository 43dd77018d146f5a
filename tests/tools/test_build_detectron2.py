"""tools/build_detectron2.py on a small made-up source, and the installed Detectron2's imports.

Nothing here uses the network; the real source is built by ``make setup``.
"""

import base64
import hashlib
import io
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import build_detectron2

BuildError, Change = build_detectron2.BuildError, build_detectron2.Change

SOURCE = {
    "detectron2/__init__.py": '__version__ = "0.6"\n',
    "detectron2/layers.py": "from numpy import bool\nFLAG = bool(1)\n",
    "detectron2/model_zoo/configs/Base.yaml": "VERSION: 2\n",
    "detectron2/utils/__init__.py": "",
    "LICENSE": "Apache License\n",
    "setup.py": "raise SystemExit('the build must not run this')\n",
    "projects/other.py": "",
}
CHANGES = (Change("detectron2/layers.py", "from numpy import bool\n", "", "NumPy lost its alias"),)


@pytest.fixture
def sdist(tmp_path, monkeypatch):
    """A source distribution of ``SOURCE`` that the tool takes for the real one."""
    path = tmp_path / "pb1-detectron2-0.6.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name, text in SOURCE.items():
            member = tarfile.TarInfo(f"pb1-detectron2-0.6/{name}")
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr(build_detectron2, "SDIST_SHA256", digest)
    monkeypatch.setattr(build_detectron2.apply_changes, "__defaults__", (CHANGES,))
    return path


def one_line(error) -> str:
    text = str(error.value)
    assert "\n" not in text
    return text


def test_wheel_holds_the_changed_package_and_nothing_else(sdist, tmp_path):
    wheel = build_detectron2.build(tmp_path / "wheels", sdist)
    assert wheel.name == "detectron2-0.6+purepython-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        layers = archive.read("detectron2/layers.py").decode()
        metadata = archive.read("detectron2-0.6+purepython.dist-info/METADATA").decode()
    assert "detectron2/model_zoo/configs/Base.yaml" in names
    assert not {"setup.py", "projects/other.py"} & names
    assert "import" not in layers
    assert layers.endswith("# Changed from Detectron2 v0.6: NumPy lost its alias.\n")
    assert "Name: detectron2\nVersion: 0.6+purepython\n" in metadata
    assert "Requires-Dist: fvcore" in metadata and "black" not in metadata


def test_record_has_every_file_with_its_own_digest(sdist, tmp_path):
    wheel = build_detectron2.build(tmp_path / "wheels", sdist)
    with zipfile.ZipFile(wheel) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    (record_name,) = [name for name in contents if name.endswith("/RECORD")]
    rows = [row.split(",") for row in contents[record_name].decode().splitlines()]
    assert {row[0] for row in rows} == set(contents)
    for name, digest, size in rows:
        if name != record_name:
            expected = base64.urlsafe_b64encode(hashlib.sha256(contents[name]).digest())
            assert digest == "sha256=" + expected.decode().rstrip("=")
            assert int(size) == len(contents[name])


def test_same_source_gives_the_same_bytes(sdist, tmp_path):
    first = build_detectron2.build(tmp_path / "first", sdist)
    second = build_detectron2.build(tmp_path / "second", sdist)
    assert first.read_bytes() == second.read_bytes()


def test_wheel_can_be_imported_and_a_missing_operator_says_so(sdist, tmp_path):
    wheel = build_detectron2.build(tmp_path / "wheels", sdist)
    code = (
        f"import sys; sys.path.insert(0, {str(wheel)!r})\n"
        "import detectron2.layers\n"
        "assert detectron2.layers.FLAG is True\n"
        "from detectron2.utils.missing_operators import _C\n"
        "_C.box_iou_rotated(1, 2)\n"
    )
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True)
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: detectron2's C++ operator 'box_iou_rotated'")


def test_another_source_is_refused(sdist, tmp_path):
    sdist.write_bytes(sdist.read_bytes() + b"\0")
    with pytest.raises(BuildError) as error:
        build_detectron2.build(tmp_path / "wheels", sdist)
    assert str(sdist) in one_line(error) and "SHA-256" in one_line(error)
    assert not (tmp_path / "wheels").exists()


@pytest.mark.parametrize(
    "text, found", [("", 0), ("from numpy import bool\n" * 2, 2)], ids=["gone", "twice"]
)
def test_a_change_that_no_longer_applies_stops_the_build(text, found):
    files = {"detectron2/layers.py": text.encode()}
    with pytest.raises(BuildError) as error:
        build_detectron2.apply_changes(files, CHANGES)
    message = one_line(error)
    assert message.startswith("detectron2/layers.py: ") and f"found {found}" in message
    assert "NumPy lost its alias" in message


def test_a_change_of_a_missing_file_stops_the_build():
    with pytest.raises(BuildError, match="detectron2/layers.py: not in the source"):
        build_detectron2.apply_changes({}, CHANGES)


def test_every_change_has_a_reason_and_does_something():
    for change in build_detectron2.CHANGES:
        assert change.old != change.new and change.count >= 1
        assert len(change.reason) > 20 and "\n" not in change.reason


def test_pip_downloads_by_hash_and_its_failure_becomes_one_line(tmp_path, monkeypatch):
    commands = []

    def fake_run(command, **_):
        commands.append(command[3:])
        if command[3] == "install":
            return subprocess.CompletedProcess(command, 0)
        requirements = (tmp_path / "requirements.txt").read_text()
        assert "--require-hashes" in command
        assert requirements.strip().endswith(build_detectron2.SDIST_SHA256)
        return subprocess.CompletedProcess(command, 1)

    monkeypatch.setattr(build_detectron2.subprocess, "run", fake_run)
    # a new environment of Python 3.11 has an old setuptools and no wheel
    monkeypatch.setattr(build_detectron2.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BuildError) as error:
        build_detectron2.fetch_sdist(tmp_path)
    assert commands[0] == ["install", "--quiet", "wheel"]
    assert [command[0] for command in commands] == ["install", "download"]
    assert "its message is above" in one_line(error) and "--sdist" in one_line(error)


def test_command_prints_one_line_and_no_traceback(tmp_path):
    command = [sys.executable, build_detectron2.__file__, "--sdist"]
    command += [str(tmp_path / "none.tar.gz"), "--wheel-dir", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("build_detectron2: ") and done.stderr.count("\n") == 1


class TestKeepInstalled:
    @staticmethod
    def install(folder, monkeypatch, version, body):
        """Put a Detectron2 of ``version`` on the path of this process and of its children."""
        package, info = folder / "detectron2", folder / f"detectron2-{version}.dist-info"
        for part in (package, info):
            part.mkdir()
        (package / "__init__.py").write_text(body)
        for module in ("engine", "modeling"):
            (package / f"{module}.py").write_text("")
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: detectron2\n"
                                       f"Version: {version}\n")  # fmt: skip
        monkeypatch.syspath_prepend(folder)
        monkeypatch.setenv("PYTHONPATH", str(folder))
        monkeypatch.delitem(sys.modules, "detectron2", raising=False)

    def test_anothers_build_is_kept(self, tmp_path, monkeypatch):
        self.install(tmp_path, monkeypatch, "0.6", "")
        assert build_detectron2.find_other_detectron2() == "0.6"

    def test_our_own_build_is_built_again(self, tmp_path, monkeypatch):
        self.install(tmp_path, monkeypatch, build_detectron2.VERSION, "")
        assert build_detectron2.find_other_detectron2() is None

    def test_a_broken_one_is_an_error_that_names_the_mend(self, tmp_path, monkeypatch):
        self.install(tmp_path, monkeypatch, "0.5", "import not_there_at_all")
        with pytest.raises(BuildError) as error:
            build_detectron2.find_other_detectron2()
        message = one_line(error)
        assert "0.5" in message and "not_there_at_all" in message and "uninstall" in message


class TestOrder:
    """The environment's Detectron2 is replaced only by one that has been built."""

    URL = "git+file:///upstream"

    @pytest.fixture
    def steps(self, monkeypatch):
        """What pip is told to do: its command, and whether the wheel that it names is there.

        `wheel` makes one; what `steps.failing` is part of fails.
        """

        class Steps(list):
            failing = None

        steps = Steps()

        def fake_run(command, **_):
            options = command[command.index("pip") + 1 :]
            wheels = [Path(o) for o in options if o.endswith(".whl")]
            steps.append((" ".join(options[:2]), [w.is_file() for w in wheels], options))
            if steps.failing and steps.failing in " ".join(options):
                return subprocess.CompletedProcess(command, 1, "")
            if options[0] == "wheel":
                folder = Path(options[options.index("--wheel-dir") + 1])
                (folder / "detectron2-0.6-cp311-linux.whl").touch()
            return subprocess.CompletedProcess(command, 0, "")

        monkeypatch.setattr(build_detectron2.subprocess, "run", fake_run)
        return steps

    @staticmethod
    def changes_detectron2(step) -> bool:
        _, wheels, options = step
        return bool(wheels) or options[0] == "uninstall" or "detectron2" in options

    def test_built_before_the_old_one_goes(self, steps):
        assert build_detectron2.main(["--from-git", self.URL]) == 0
        changing = [self.changes_detectron2(step) for step in steps]
        built = next(i for i, (name, *_) in enumerate(steps) if name.startswith("wheel"))
        assert not any(changing[: built + 1]) and all(changing[built + 1 :])
        assert [wheels for _, wheels, _ in steps[built + 1 :]] == [[True], [True]]
        # the first install is of what it requires too; pip changes nothing until all is found
        assert "--no-deps" not in steps[built + 1][2]

    @pytest.mark.parametrize("failing", ["setuptools", "git+file"])
    def test_a_build_that_fails_leaves_the_old_one(self, steps, failing, capsys):
        steps.failing = failing
        assert build_detectron2.main(["--from-git", self.URL]) == 2
        assert steps and not any(map(self.changes_detectron2, steps))
        assert "What was installed before is still there" in capsys.readouterr().err

    def test_a_source_that_cannot_be_fetched_leaves_the_old_one(self, steps):
        steps.failing = "download"
        assert build_detectron2.main([]) == 2
        assert [name.split()[0] for name, *_ in steps] == ["download"]

    def test_requirements_that_cannot_be_found_leave_the_old_one(self, steps, sdist, capsys):
        steps.failing = "--constraint"
        assert build_detectron2.main(["--sdist", str(sdist), "--constraint", "pins.txt"]) == 2
        ((name, wheels, options),) = steps
        assert wheels == [True] and not {"--force-reinstall", "--no-deps"} & set(options)
        assert "could not install" in capsys.readouterr().err


def test_detectron2_imports_in_any_order():
    """Each of these is the first import of a process; torch is shared to keep it quick."""
    modules = [
        "detectron2",
        "detectron2.engine",
        "detectron2.evaluation",
        "detectron2.export",
        "detectron2.layers.deform_conv",
        "detectron2.layers.rotated_boxes",
        "detectron2.model_zoo",
        "detectron2.utils.analysis",
        "detectron2.utils.visualizer",
    ]
    code = (
        "import os, sys, traceback, torch, torchvision\n"
        "for name in sys.argv[1:]:\n"
        "    child = os.fork()\n"
        "    if child == 0:\n"
        "        try:\n"
        "            __import__(name)\n"
        "        except BaseException as error:\n"
        "            print(name, repr(error), flush=True)\n"
        "        os._exit(0)\n"
        "    os.waitpid(child, 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, *modules], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")

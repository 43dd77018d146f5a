"""The command itself: help, exit status, what is not installed."""

import importlib
import re
import sys
from pathlib import Path

import pytest

from person_search.cli import main as command
from person_search.cli.main import SUBCOMMANDS, main

REPOSITORY = Path(__file__).parents[3]


@pytest.mark.parametrize("name", [None, *SUBCOMMANDS])
def test_help(name, capsys):
    with pytest.raises(SystemExit) as exit:
        main(["--help"] if name is None else [name, "--help"])
    assert exit.value.code == 0
    out = capsys.readouterr().out
    assert f"person-search {name or '[-h]'}" in out
    if name is None:
        assert all(subcommand in out for subcommand in SUBCOMMANDS)
        assert "legal basis" in out


def test_each_module_keeps_the_contract():
    for name, module in SUBCOMMANDS.items():
        text = Path(importlib.import_module(module, command.__package__).__file__).read_text()
        assert re.search(r'^HELP = "', text, re.MULTILINE), name
        top_level = [line for line in text.splitlines() if re.match("(import|from) ", line)]
        slow = [line for line in top_level if re.search("torch|faiss|gradio|cv2|detectron2", line)]
        assert not slow, f"{name}: {slow} belong into run()"


def test_it_is_installed():
    assert "person-search = person_search.cli.main:main" in (REPOSITORY / "setup.py").read_text()


def test_a_mistake_of_argparse_has_status_2():
    with pytest.raises(SystemExit) as exit:
        main(["nonsense"])
    assert exit.value.code == 2


def test_ctrl_c(monkeypatch, capsys):
    def press(args):
        raise KeyboardInterrupt

    monkeypatch.setattr("person_search.cli.forget.run", press)
    assert main(["forget", "--index", "x"]) == 130
    assert capsys.readouterr().err == "stopped\n"


@pytest.mark.parametrize(
    "package, location, message",
    [
        ("faiss", "somewhere", "pip install faiss-cpu"),
        ("pymilvus", "milvus://host:1/persons", "pip install pymilvus"),
    ],
)
def test_an_optional_package_that_is_missing(package, location, message, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, package, None)
    assert main(["query", "--person", "1", "--index", location]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("location", ["milvus://", "milvus://host:1", "milvus://host:1/a b"])
def test_addresses_that_are_none(location, capsys):
    assert main(["query", "--person", "1", "--index", location]) == 2
    assert "write milvus://HOST:PORT/COLLECTION" in capsys.readouterr().err

"""Numbers on the command line: what is refused, with exit status 2, before any work."""

import argparse
import ast
import re
from pathlib import Path

import pytest

from fully_decoupled_ps import dataset_tools
from fully_decoupled_ps.utils.arguments import number, whole_number
from person_search.cli import common
from person_search.cli.main import main

NOT_FINITE = ("nan", "inf", "-inf", "1e999", "", "one")


@pytest.mark.parametrize("text", [*NOT_FINITE, "-0.1", "1.1"])
def test_numbers_in_a_range(text):
    with pytest.raises(argparse.ArgumentTypeError) as error:
        number(0, 1)(text)
    assert str(error.value) == f"{text!r} is not a number from 0 to 1"
    assert number(0, 1)("1") == 1.0 and number(0, 1)("0.25") == 0.25


@pytest.mark.parametrize("text", [*NOT_FINITE, "0", "-1", "1.5", str(2**63)])
def test_whole_numbers(text):
    with pytest.raises(argparse.ArgumentTypeError) as error:
        whole_number(1)(text)
    assert str(error.value) == f"{text!r} is not a whole number of 1 or more"
    assert whole_number(1)(str(2**63 - 1)) == 2**63 - 1


INDEX = ("index", "media", "--index", "i", "--model", "m")
QUERY = ("query", "a.jpg", "--index", "i")
FORGET = ("forget", "--index", "i", "--query", "a.jpg")
MOT = ("convert", "mot", "sequences", "--output", "o")
REFUSED = [
    *((INDEX, "--fps", value) for value in (*NOT_FINITE, "0", "1e-300", "1e300")),
    *((INDEX, "--score-thresh", value) for value in ("nan", "5", "-0.1")),
    *((INDEX, "--batch-size", value) for value in ("0", "nan", "1.5")),
    *((INDEX, "--workers", value) for value in ("-1", "100000", "nan")),
    *((QUERY, "--top", value) for value in ("0", "nan", str(10**30))),
    *((QUERY, "--min-score", value) for value in ("nan", "inf", "-1")),
    *((QUERY, "--person", value) for value in ("-1", str(2**63), "x")),
    *((FORGET, "--min-similarity", value) for value in ("nan", "2", "-2")),
    *((("serve", "--index", "i"), "--port", value) for value in ("-1", "65536", "nan")),
    *((("check-dataset", "d"), option, "0") for option in ("--sample", "--workers")),
    *((("check-dataset", "d"), "--seed", value) for value in ("-1", str(2**32))),
    *((MOT, "--min-height", value) for value in ("nan", "-1", "inf")),
    *((MOT, "--min-visibility", value) for value in ("nan", "1.1")),
    *((MOT, "--stride", value) for value in ("0", "1.5")),
]


@pytest.mark.parametrize(("command", "option", "value"), REFUSED)
def test_what_every_command_refuses(command, option, value, capsys):
    with pytest.raises(SystemExit) as exit:
        main([*command, f"{option}={value}"])
    assert exit.value.code == 2
    last = capsys.readouterr().err.splitlines()[-1]
    message = rf".*argument {option}: '{re.escape(value)}' is not a (whole )?number (of|from) .*"
    assert re.fullmatch(message, last)


TOOLS = Path(__file__).parents[3] / "projects" / "FullyDecoupledPS" / "tools"
COMMANDS = [Path(module.__file__).parent for module in (common, dataset_tools)]
SOURCES = [path for folder in (*COMMANDS, TOOLS) for path in folder.glob("*.py")]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_no_option_takes_any_number(path):
    """``float`` takes nan and ``int`` what is out of range, in the commands and the tools."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.keyword) and node.arg == "type":
            taken = ast.unparse(node.value)
            assert taken not in ("int", "float"), f"line {node.value.lineno}"

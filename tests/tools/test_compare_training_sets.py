"""Training sets are compared seed by seed; what fails is told with its log."""

import json
import subprocess

import pytest

import compare_training_sets as tool
from fully_decoupled_ps.errors import UserError
from person_search.cli.main import _parse


def figures(before: float, *after: float) -> list[dict]:
    return [{"mAP": (before, value)} for value in after]


def test_differences_are_taken_seed_by_seed():
    table = tool.format_table(
        {"truth": figures(40.0, 60.0, 62.0), "labelled": figures(40.0, 59.0, 63.5)}
    )
    rows = [line.split() for line in table.splitlines()[-2:]]
    assert rows == [
        ["mAP", "truth", "40.0", "61.0", "60.0", "62.0"],
        ["mAP", "labelled", "40.0", "61.2", "59.0", "63.5", "-1.0", "+1.5"],
    ]


@pytest.fixture
def args(tmp_path):
    train, test = tmp_path / "train.json", tmp_path / "test.json"
    train.write_text("{}")
    test.write_text("{}")
    (tmp_path / "images").mkdir()
    return tool.parse_args(
        [
            *("--sets", f"truth={train},{tmp_path / 'images'}", "--test", str(test)),
            *("--seeds", "4"),
            *("--start", "output/demo/reid", "--output-dir", str(tmp_path / "out")),
            *("SOLVER.MAX_ITER", "7"),
        ]
    )


def test_a_training_is_one_of_the_command_with_its_seed(args, monkeypatch):
    asked = []

    def run(command, **options):
        asked.append(_parse(command[3:]))  # what the command makes of it
        row = {"figure": "mAP", "before": {"value": 1.0}, "after": {"value": 2.0}}
        with open(f"{asked[-1].output}/results.json", "w") as f:
            json.dump({"figures": [row]}, f)
        return subprocess.CompletedProcess(command, 1)  # worse than the start: a result too

    monkeypatch.setattr(subprocess, "run", run)
    ((name, files),) = args.sets
    assert tool.train(args, name, files, 4) == {"mAP": (1.0, 2.0)}
    assert (asked[0].data, asked[0].image_root) == files
    assert (asked[0].test, asked[0].test_image_root) == args.test
    assert files[1].endswith("images") and files[1] != args.test[1]
    assert asked[0].opts == ["SOLVER.MAX_ITER", "7", "SEED", "4"]


def test_a_failure_names_the_log(args, monkeypatch):
    monkeypatch.setattr(subprocess, "run", lambda c, **_: subprocess.CompletedProcess(c, 2))
    with pytest.raises(UserError, match="status 2; see .*seed4.log"):
        tool.train(args, *args.sets[0], 4)


@pytest.mark.parametrize(
    "text", ["train.json", "a=missing.json", "a b=pyproject.toml", "a=pyproject.toml,missing"]
)
def test_a_set_has_a_name_and_a_file(text, capsys):
    with pytest.raises(SystemExit):
        tool.parse_args(["--sets", text, "--test", "t", "--start", "s"])
    assert text.partition("=")[2] in capsys.readouterr().err

"""What a command writes, and how it ends where that can't be written."""

import json

import pytest

from fully_decoupled_ps.utils.commands import in_one_line
from fully_decoupled_ps.utils.files import write_json


def test_json_is_written_whole_into_a_folder_that_is_made(tmp_path):
    path = tmp_path / "new" / "figures.json"
    for content in ({"a": 1}, [2]):
        write_json(path, content)
        assert json.loads(path.read_text()) == content
    with pytest.raises(TypeError):
        write_json(path, object())
    assert json.loads(path.read_text()) == [2] and len(list(path.parent.iterdir())) == 1


def test_what_can_t_be_written_is_one_line_and_status_2(tmp_path, capsys):
    file = tmp_path / "line\nfeed"
    file.touch()

    for path in (file / "a.json", tmp_path):  # in no folder, and a folder itself
        assert in_one_line(write_json)(path, {}) == 2
        error = capsys.readouterr().err
        assert error.startswith(f"error: {tmp_path}") and error.count("\n") == 1
        assert " can't be written: " in error and "choose another place" in error


@pytest.mark.parametrize("returned, status", [(None, 0), (0, 0), (1, 1)])
def test_other_ends_stay_what_they_are(returned, status):
    assert in_one_line(lambda: returned)() == status

    @in_one_line
    def main():
        raise ValueError("a fault of the program's")

    with pytest.raises(ValueError, match="a fault"):
        main()

"""gt.txt: every field is read as what it is, or refused by line and column."""

import numpy as np
import pytest

from fully_decoupled_ps.dataset_tools.conversion.mot_formats import FORMATS, interpret
from fully_decoupled_ps.dataset_tools.conversion.mot_table import read_table
from fully_decoupled_ps.errors import UserError

ROW = [1, 2, 3, 4.5, 5, 6, 1, 1, 0.5]


@pytest.mark.parametrize(
    "content",
    [
        b"1,2,3,4.5,5,6,1,1,0.5\n",
        b"1, 2, 3, 4.5, 5, 6, 1, 1, 0.5\r\n\r\n",
        b"1 2 3  4.5 5 6 1 1 0.5",
        b"1;2;3;4.5;5;6;1;1;0.5;\n",
        b"1\t2\t3\t4.5\t5\t6\t1\t1\t0.5\n",
        b"1.0,2.00e+00,3,4.5,5,6,1,1,0.5,\n",
        b"\xef\xbb\xbf1,2,3,4.5,5,6,1,1,0.5\n",
        "1,2,3,4.5,5,6,1,1,0.5\n".encode("utf-16"),
    ],
)
def test_one_row_however_it_is_written(tmp_path, content):
    path = tmp_path / "gt.txt"
    path.write_bytes(content)
    assert interpret(read_table(path), FORMATS["mot17"]).tolist() == [ROW]


def test_what_a_file_does_not_have_is_1(tmp_path):
    path = tmp_path / "gt.txt"
    path.write_text("1,2,3,4,5,6\n7,-1,3,4,5,6\n")
    rows = interpret(read_table(path), FORMATS["mot17"])
    np.testing.assert_array_equal(rows[:, 6:], 1)
    assert rows[:, :2].tolist() == [[1, 2], [7, -1]]


def test_mot15_has_a_flag_and_coordinates_of_the_world(tmp_path):
    path = tmp_path / "gt.txt"
    path.write_text("1,2,3,4,5,6,1,-4.3,11.2,0\n1,3,3,4,5,6,0,-1,-1,-1\n")
    table = read_table(path)
    assert interpret(table, FORMATS["mot15"])[:, 6:].tolist() == [[1, 1, 1], [0, 1, 1]]
    with pytest.raises(UserError, match="line 1: 10 columns; mot17 has 9, say another --format"):
        interpret(table, FORMATS["mot17"])


def test_the_largest_exact_id_is_kept(tmp_path):
    path = tmp_path / "gt.txt"
    path.write_text(f"1,{2**53 - 1},3,4,5,6\n")
    assert int(read_table(path).rows[0, 1]) == 2**53 - 1


@pytest.mark.parametrize(
    "text, reason",
    [
        ("", "gt.txt: no row"),
        ("1,2,3,4,5,6\n1,2,3,4,5\n", "line 2: 5 columns; there must be 6 to 10"),
        ("1,2,3,4,5,6,1,1,1\n\n1,2,3,4,5,6,1,1\n", "line 3: 8 columns, and 9 in line 1"),
        ("1,2,,4,5,6\n", "line 1, column 3 (x): empty"),
        ("1,2,3,4,5,6,1,,1\n", "line 1, column 8 (class): empty"),
        ("1,2,3,4,5,6,1,1,\n1,2,3,4,5,6,1,1,1\n", "line 2: 9 columns, and 8 in line 1"),
        ("1\t2\t\t4\t5\t6\n", "line 1, column 3 (x): empty"),
        ("1;2;3,5;4;5;6\n", "line 1, column 3 (x): '3,5' is no number"),
        ("1,2,3,a,5,6\n", "line 1, column 4 (y): 'a' is no number"),
        ("1,2,3,nan,5,6\n", "line 1, column 4 (y): 'nan' is no number"),
        ("1,2,3,1e999,5,6\n", "line 1, column 4 (y): '1e999' is no number"),
        ("1,2,3,4,5,6,1,1,1,x\n", "line 1, column 10 (unused): 'x' is no number"),
        ("1,2,3,1_0,5,6\n", "line 1, column 4 (y): '1_0' is no number"),
        ("frame,id,x,y,w,h\n", "line 1, column 1 (frame): 'frame' is no number"),
        ("1.5,2,3,4,5,6\n", "line 1, column 1 (frame): '1.5' is no whole number"),
        ("1,2.5,3,4,5,6\n", "line 1, column 2 (id): '2.5' is no whole number"),
        ("1,9223372036854775808,3,4,5,6\n", "column 2 (id): '9223372036854775808' is too large"),
        ("1,-7,3,4,5,6\n", "line 1, column 2 (id): '-7'; give 0 or more, or -1"),
        ("1,2,3,4,-5,6\n", "line 1, column 5 (w): '-5'; a box has no negative size"),
    ],
)
def test_refused_by_line_and_column(tmp_path, text, reason):
    path = tmp_path / "gt.txt"
    path.write_text(text)
    with pytest.raises(UserError) as e:
        read_table(path)
    assert reason in str(e.value) and "\n" not in str(e.value)


@pytest.mark.parametrize(
    "text, reason",
    [
        ("1,2,3,4,5,6,1,1,1\n1,2,3,4,5,6,1,1.5,1\n", "line 2, column 8 (class): 1.5 is no whole"),
        ("1,2,3,4,5,6,1,1,1\n\n1,2,3,4,5,6,1,1,7\n", "line 3, column 9 (visibility): 7 is not"),
    ],
)
def test_refused_where_the_format_says_what_a_column_is(tmp_path, text, reason):
    path = tmp_path / "gt.txt"
    path.write_text(text)
    with pytest.raises(UserError) as e:
        interpret(read_table(path), FORMATS["mot20"])
    assert reason in str(e.value)

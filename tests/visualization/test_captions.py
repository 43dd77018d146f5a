"""Text below pictures."""

import numpy as np

from fully_decoupled_ps.visualization.captions import draw_caption, fit_text
from fully_decoupled_ps.visualization.visualizer import CROP_SIZE


def test_a_long_name_keeps_both_ends():
    text = fit_text("recordings-of-the-yard_2024-05-31_0900.jpg", 120)
    assert text.startswith("rec") and text.endswith(".jpg") and "\u2026" in text
    assert fit_text("c1.jpg", 120) == "c1.jpg"
    assert fit_text("c1.jpg", 0) == ""


def test_a_time_fits_below_a_crop():
    time = "2024-05-31 08:00:00"
    assert fit_text(time, CROP_SIZE[0] - 2) == time


def test_letters_of_other_languages_are_not_all_alike():
    """A font without them draws one box for each."""
    letters = [draw_caption([letter], (20, 20)) for letter in "üñжλé"]
    assert len({letter.tobytes() for letter in letters}) == 5


def test_lines_are_below_each_other_and_pale_ones_paler():
    both = draw_caption(["", "x"], (60, 36))
    assert both.shape == (36, 60, 3) and both.dtype == np.uint8
    assert both[:15].min() == 255 and both[15:].min() < 100
    assert draw_caption(["", "x"], (60, 36), pale=True).min() > both.min()

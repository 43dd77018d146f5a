"""Which classes are persons, which count for nothing, and which need the user's word."""

import pytest

from fully_decoupled_ps.data.datasets.class_names import Kind, kind_of_class


@pytest.mark.parametrize(
    "name, kind",
    [
        ("person", Kind.PERSON),
        (" Pedestrian", Kind.PERSON),
        ("static_person", Kind.UNLABELLED),
        ("Person on vehicle", Kind.UNLABELLED),
        ("crowd", Kind.IGNORED),
        ("ignored-regions", Kind.IGNORED),
        ("reflection", Kind.IGNORED),
        ("car", Kind.OTHER),
        ("traffic light", Kind.OTHER),
        ("non motorized vehicle", Kind.OTHER),
        ("staff", None),
        ("people", None),  # several persons in one box in some data sets, one in others
        ("rider", None),
    ],
)
def test_by_name(name, kind):
    assert kind_of_class(name) is kind


def test_the_user_s_word_comes_first():
    assert kind_of_class("Staff", persons=["staff"]) is Kind.PERSON
    assert kind_of_class("people", ignored=["People"]) is Kind.IGNORED
    assert kind_of_class("person", others=["person"]) is Kind.OTHER

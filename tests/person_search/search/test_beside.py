"""Work in a thread: in order, all of it or an error, and nothing more once it is given up."""

import threading

import pytest

from person_search.search.beside import Beside


def test_all_is_done_in_order_when_the_context_ends():
    done = []
    with Beside(lambda x, y: done.append((x, y))) as beside:
        for number in range(50):
            beside.put(number, -number)
    assert done == [(n, -n) for n in range(50)]


def test_it_goes_on_while_the_work_is_done():
    began, may_end = threading.Event(), threading.Event()

    def work():
        began.set()
        assert may_end.wait(10)

    with Beside(work) as beside:
        beside.put()
        assert began.wait(10)
        may_end.set()


def test_an_error_reaches_who_goes_on():
    def work(number):
        if number == 3:
            raise ValueError("the disk is full")
        done.append(number)

    done = []
    with pytest.raises(ValueError, match="full"), Beside(work) as beside:
        for number in range(1000):
            beside.put(number)
    assert done == [0, 1, 2]
    with pytest.raises(ValueError, match="full"), Beside(work) as beside:
        beside.put(3)  # the last one


def test_given_up_it_ends_the_call_under_way_and_makes_no_other():
    began, may_end, done = threading.Event(), threading.Event(), []

    def work(number):
        began.set()
        assert may_end.wait(10)
        done.append(number)

    with pytest.raises(KeyboardInterrupt), Beside(work) as beside:
        beside.put(0)
        beside.put(1)
        assert began.wait(10)
        threading.Timer(0.2, may_end.set).start()
        raise KeyboardInterrupt
    assert done == [0]

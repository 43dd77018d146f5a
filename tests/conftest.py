"""What every test gets: one thread, fixed seeds, an event storage, and loggers as they were."""

import gc
import logging

import pytest
import torch
from detectron2.utils import logger as detectron2_logger
from detectron2.utils.env import seed_all_rng
from detectron2.utils.events import EventStorage

from fully_decoupled_ps.predictor import load_network
from tests.tiny_run import make_run

OURS = ("fully_decoupled_ps", "person_search")
LOGGERS = ("detectron2", "fvcore", *OURS)


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory):
    """A tiny run of random weights."""
    return make_run(tmp_path_factory.mktemp("runs") / "reid")


@pytest.fixture(scope="session")
def network(run_folder):
    return load_network(str(run_folder), device="cpu")


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """The networks of the tests are too small for more, and sums keep their order."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def no_rewriting():
    """TorchScript functions (the focal loss) round alike in their first calls and later."""
    with torch.jit.optimized_execution(False):
        yield


@pytest.fixture(autouse=True)
def seeds():
    seed_all_rng(0)


@pytest.fixture(autouse=True)
def event_storage():
    """Where networks and losses put their scalars in training."""
    with EventStorage() as storage:
        yield storage


@pytest.fixture(autouse=True)
def log_levels():
    """What a command sets for its process, which here is that of all tests, is taken back."""
    loggers = [logging.getLogger(name) for name in LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        # what a training in a fixture of a module has left
        logger.propagate = True
        logger.setLevel(logging.NOTSET)
    yield
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)
    logging.disable(logging.NOTSET)


def pytest_collection_finish():
    """What is imported stays: else each collection of garbage takes half a second to look at it."""
    gc.collect()
    gc.freeze()


def pytest_sessionfinish():
    gc.unfreeze()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_logreport(report):
    """Names of files may be no UTF-8; what pytest-xdist's workers send is."""
    report.sections = [
        (title, text.encode(errors="backslashreplace").decode()) for title, text in report.sections
    ]


@pytest.fixture
def restore_loggers():
    """Take back what ``default_setup`` does to the loggers: handlers, no propagation."""
    loggers = [logging.getLogger(name) for name in LOGGERS]
    before = [(logger.level, logger.propagate, list(logger.handlers)) for logger in loggers]
    yield
    for logger, (level, propagate, handlers) in zip(loggers, before, strict=True):
        for handler in set(logger.handlers) - set(handlers):
            handler.close()
        logger.setLevel(level)  # which forgets what loggers below took from it
        logger.propagate, logger.handlers = propagate, handlers
    detectron2_logger.setup_logger.cache_clear()
    detectron2_logger._cached_log_stream.cache_clear()

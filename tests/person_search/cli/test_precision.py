"""An index notes what it was computed in, and what is compared with it is computed alike."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from fully_decoupled_ps.modeling import precision
from person_search.errors import UserError
from person_search.index import open_index
from person_search.network import Predictor, choose_precision
from tests.person_search.index.made_up_index import INFO

from .command import index_args, query_json, run


@pytest.fixture
def computed_in(monkeypatch):
    """What the network of each pass computed in."""
    seen = []
    network_run = Predictor.run

    def note(self, inputs):
        seen.append((self.precision, precision.name_of(self.model.inference_dtype)))
        return network_run(self, inputs)

    monkeypatch.setattr(Predictor, "run", note)
    return seen


def made_in(folder):
    with open_index(str(folder)) as index:
        return index.info.precision


def features(folder):
    with open_index(str(folder)) as index:
        return index.features(
            [p.person_id for f in index.frames() for p in index.persons(f.frame_id)]
        )


@pytest.mark.parametrize("has, expected", [(True, "bfloat16"), (False, "float32")])
def test_a_new_index_is_made_in_the_fastest(
    tmp_path, run_folder, pictures, monkeypatch, computed_in, has, expected
):
    monkeypatch.setattr(precision, "cpu_has_bfloat16", lambda: has)
    # by another name, as networks are loaded once
    copy = tmp_path / f"run-{has}"
    copy.symlink_to(run_folder)
    assert run(*index_args(copy, tmp_path / "i", tmp_path / "media")) == 0
    assert made_in(tmp_path / "i") == expected
    assert set(computed_in) == {(expected, expected)}


def test_queries_and_later_runs_compute_as_the_index_was(
    tmp_path, run_folder, pictures, capsys, computed_in
):
    folder, media = tmp_path / "i", tmp_path / "media"
    args = index_args(run_folder, folder, media)
    assert run(*args, "--precision", "bfloat16") == 0
    assert run(*index_args(run_folder, tmp_path / "exact", media), "--precision", "float32") == 0
    assert made_in(tmp_path / "exact") == "float32"
    rounded, exact = features(folder), features(tmp_path / "exact")
    assert rounded.shape == exact.shape and 1e-4 < np.abs(rounded - exact).max() < 0.1
    computed_in.clear()
    frame = str(pictures[0])
    for more in ([], ["--precision", "auto"], ["--precision", "bfloat16"]):
        pictures[0].touch()
        assert run(*args, *more) == 0
    query_json(capsys, frame, "--index", folder, "--device", "cpu")
    query_json(capsys, frame, "--index", folder, "--device", "cpu", "--model", run_folder)
    assert len(computed_in) == 5 and set(computed_in) == {("bfloat16", "bfloat16")}


def test_another_precision_is_refused(tmp_path, run_folder, pictures, capsys):
    args = index_args(run_folder, tmp_path / "i", tmp_path / "media")
    assert run(*args, "--precision", "bfloat16") == 0
    assert run(*args, "--precision", "float32") == 2
    assert "--precision float32: the index was made in bfloat16; leave" in capsys.readouterr().err


def test_an_index_that_notes_none_is_computed_as_the_config_says(
    tmp_path, run_folder, pictures, computed_in, capsys
):
    folder = tmp_path / "i"
    args = index_args(run_folder, folder, tmp_path / "media")
    assert run(*args, "--precision", "float32") == 0
    info = json.loads((folder / "index.json").read_text())
    del info["precision"]
    (folder / "index.json").write_text(json.dumps(info))
    pictures[0].touch()
    computed_in.clear()
    assert run(*args) == run(*args, "--precision", "float32") == 0
    assert computed_in and set(computed_in) == {("float32", "float32")}
    assert run(*args, "--precision", "bfloat16") == 2
    assert "the index was made in float32" in capsys.readouterr().err
    assert made_in(folder) == ""


def test_what_is_asked_of_an_index_that_notes_none_is_refused_if_its_network_says_otherwise(
    tmp_path, run_folder, pictures, capsys
):
    folder, other = tmp_path / "i", tmp_path / "run"
    shutil.copytree(run_folder, other)
    config = (other / "config.yaml").read_text()
    assert config.count("AUTOCAST: float32") == 1
    (other / "config.yaml").write_text(config.replace("AUTOCAST: float32", "AUTOCAST: bfloat16"))
    args = index_args(other, folder, tmp_path / "media")
    assert run(*args, "--precision", "bfloat16") == 0
    info = json.loads((folder / "index.json").read_text())
    del info["precision"]
    (folder / "index.json").write_text(json.dumps(info))
    assert run(*args, "--precision", "float32") == 2
    assert "--precision float32: the index was made in bfloat16; leave" in capsys.readouterr().err
    assert run(*args, "--precision", "bfloat16") == 0


def test_an_index_made_meanwhile_on_another_machine(tmp_path):
    """Processes of several shards may begin at once, where processors differ."""
    location, rounded = str(tmp_path / "i"), replace(INFO, precision="bfloat16")
    with open_index(location, create=rounded) as index:
        index.check_model(INFO.fingerprint)  # a query's network is loaded as the index says
    with open_index(location, create=rounded):
        pass
    with pytest.raises(UserError, match="--precision float32: index .* was made in bfloat16"):
        open_index(location, create=replace(INFO, precision="float32"))


@pytest.mark.parametrize("asked, chosen", [("", "auto"), ("auto", "auto"), ("float16", "float16")])
def test_where_there_is_no_index_yet(asked, chosen):
    assert choose_precision(asked, None) == chosen

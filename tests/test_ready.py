"""Ready networks: what their yamls say, where their files are, and loading one by its name."""

import hashlib
import subprocess
import sys
from urllib.parse import urlsplit

import pytest
from detectron2.model_zoo import get_checkpoint_url

from fully_decoupled_ps import load_config, predictor, ready
from fully_decoupled_ps.errors import UserError
from tests.ready_network import load_parts, publishing, save_part, write_yaml
from tests.testing import CONFIGS

PATHS = sorted((CONFIGS / "ready").glob("*.yaml"))
NAMES = sorted(path.stem for path in PATHS)


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_a_yaml_is_short_and_a_config(path):
    assert len(path.read_text().splitlines()) <= 15
    cfg = load_config(str(path))
    assert cfg.MODEL.META_ARCHITECTURE == "TwoStepPersonSearch"
    assert cfg.MODEL.DETECTOR.PERSON_CLASS == 0  # "person" in COCO
    assert cfg.MODEL.WEIGHTS == get_checkpoint_url(cfg.MODEL.DETECTOR.ZOO)
    assert len(cfg.MODEL.CROP_REID.SIZE) == 2
    # read without Detectron2, it says the same
    network = ready.named_network(path.stem)
    assert (network.detector.kind, network.detector.weights) == (
        *(cfg.MODEL.DETECTOR.ZOO, cfg.MODEL.WEIGHTS),
    )
    assert (network.crop_reid.kind, network.crop_reid.weights) == (
        *(cfg.MODEL.CROP_REID.NAME, cfg.MODEL.CROP_REID.WEIGHTS),
    )
    assert network.use == cfg.READY.USE
    for part, known in (
        (network.detector, cfg.READY.DETECTOR),
        (network.crop_reid, cfg.READY.CROP_REID),
    ):
        assert (part.bytes, part.sha256) == (known.BYTES, known.SHA256)
        assert (part.licence, part.data) == (known.LICENCE, known.DATA)
        assert urlsplit(part.weights).scheme == "https"
        assert part.licence and part.data and len(part.sha256) in (0, 64)


def test_the_zoo_states_the_beginning_of_an_md5():
    for path in PATHS:
        file = ready.named_network(path.stem).detector.file
        assert file.name == f"model_final_{file.md5_start}.pkl" and len(file.md5_start) == 6


def test_a_name_of_a_file_is_of_one_file():
    """They are kept in one folder."""
    files = {file for name in NAMES for file in ready.named_network(name).files()}
    assert len({file.name for file in files}) == len(files)


def test_they_are_listed_with_the_default_one_first():
    listed = [network.name for network in ready.ready_networks()]
    assert listed[0] == ready.DEFAULT_NETWORK and sorted(listed) == NAMES


def test_they_are_listed_without_pytorch():
    code = (
        "import sys; from fully_decoupled_ps import ready; ready.ready_networks();"
        "print(*{'torch', 'detectron2', 'cv2'} & set(sys.modules))"
    )
    run = [sys.executable, "-c", code]
    assert subprocess.run(run, check=True, capture_output=True, text=True).stdout == "\n"


def test_the_folder(monkeypatch):
    for name in (ready.MODELS_VARIABLE, "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/home/anna")
    assert ready.models_folder() == "/home/anna/.cache/person-search/models"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # which the rule says to ignore
    assert ready.models_folder() == "/home/anna/.cache/person-search/models"
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    assert ready.models_folder() == "/caches/person-search/models"
    monkeypatch.setenv(ready.MODELS_VARIABLE, "~/models")
    assert ready.models_folder() == "/home/anna/models"
    assert ready.models_folder("/elsewhere") == "/elsewhere"


def test_an_unknown_name():
    with pytest.raises(UserError, match="--fetch osnet-ein: .*did you mean osnet-ain or"):
        ready.named_network("osnet-ein")
    with pytest.raises(UserError) as error:
        predictor.load_network("osnet-ein")
    message = str(error.value)
    assert message.startswith("--model osnet-ein: no such file or folder; ")
    assert "did you mean osnet-ain or" in message and "`person-search models`" in message
    for name in ("../ready/osnet-ain", "ready/osnet-ain", ".", ""):
        assert not ready.is_ready_name(name)


@pytest.fixture
def parts(monkeypatch):
    monkeypatch.setattr(predictor, "load_parts", load_parts)


@pytest.fixture
def published(tmp_path, monkeypatch):
    with publishing(tmp_path, monkeypatch) as server:
        yield server


def test_it_is_loaded_by_its_name(published, parts, tmp_path):
    network = predictor.load_network("tiny", device="cpu")
    assert network.location == "tiny" and network.weights == ""
    assert network.model.detector.weight.item() == network.model.crops.weight.item() == 3
    assert sorted(path for path, _ in published.asked) == ["/net/crops.pth", "/net/detector.pth"]
    assert ready.find_ready("tiny").is_here(str(tmp_path / "models"))
    assert network.model.cfg.MODEL.WEIGHTS == str(tmp_path / "models" / "detector.pth")
    published.status = 404  # nothing is asked for any more
    assert predictor.load_network("tiny", device="cpu").fingerprint == network.fingerprint
    other = tmp_path / "other"
    with pytest.raises(UserError, match=f"the server says 404 .* into {other} as detector.pth"):
        predictor.load_network("tiny", device="cpu", models_dir=str(other))


def test_other_content_of_a_part_is_refused(published, parts, tmp_path):
    published.content = save_part(tmp_path / "part.pth", 4.0)
    with pytest.raises(UserError, match="crops.pth of .* where .* is stated"):
        predictor.load_network("tiny", device="cpu")


def test_a_yaml_of_ones_own_that_names_both_parts(parts, tmp_path):
    for name, value in (("detector", 1.0), ("crops", 2.0)):
        save_part(tmp_path / f"{name}.pth", value)
    path = write_yaml(tmp_path / "own.yaml", tmp_path / "detector.pth", tmp_path / "crops.pth")
    network = predictor.load_network(str(path), device="cpu")
    assert network.location == str(path)
    assert (network.model.detector.weight.item(), network.model.crops.weight.item()) == (1, 2)


def test_a_checkpoint_in_place_of_the_published_files(published, tmp_path, monkeypatch):
    """Such as one that was trained from them: nothing is downloaded."""
    loaded = []
    monkeypatch.setattr(
        predictor, "load_parts", lambda model, cfg: loaded.append(cfg.MODEL.WEIGHTS)
    )
    save_part(tmp_path / "trained.pth", 1.0)
    network = predictor.load_network("tiny", str(tmp_path / "trained.pth"), device="cpu")
    assert (network.location, network.weights) == ("tiny", str(tmp_path / "trained.pth"))
    assert loaded == [str(tmp_path / "trained.pth")] and published.asked == []
    with pytest.raises(UserError, match="--weights none.pth: no such file"):
        predictor.load_network("tiny", "none.pth")


def test_the_config_of_a_run_is_none(tmp_path):
    """Its MODEL.WEIGHTS is what the training started from."""
    path = write_yaml(tmp_path / "config.yaml", "detector.pth", "crops.pth")
    (tmp_path / "last_checkpoint").write_text("model_final.pth")
    with pytest.raises(UserError, match="is a config; name its checkpoint with --weights FILE"):
        predictor.load_network(str(path))


def test_a_damaged_yaml(tmp_path):
    path = tmp_path / "own.yaml"
    for text in ("MODEL: [", "[]", "MODEL: 3", "_BASE_: none.yaml"):
        path.write_text(text)
        with pytest.raises(UserError, match=f"--model {path}: "):
            predictor.load_network(str(path))


def test_paths_are_those_of_files_beside_the_yaml(published, parts, tmp_path, monkeypatch):
    """The index of a yaml is searched from any folder."""
    folder = tmp_path / "own"
    folder.mkdir()
    save_part(folder / "detector.pth", 5.0)
    save_part(folder / "crops.pth", 6.0)
    yaml = write_yaml(folder / "own.yaml", "detector.pth", "crops.pth")
    network = predictor.load_network(str(yaml), device="cpu")
    monkeypatch.chdir(folder)
    assert predictor.load_network("own.yaml", device="cpu").fingerprint == network.fingerprint


def test_what_is_stated_of_a_local_file_is_checked_too(published, parts, tmp_path):
    content = save_part(tmp_path / "a.pth", 5.0)
    sha256 = hashlib.sha256(content).hexdigest()
    a = tmp_path / "a.pth"
    yaml = write_yaml(tmp_path / "own.yaml", a, a, SHA256=sha256.upper())
    predictor.load_network(str(yaml), device="cpu")
    yaml = write_yaml(tmp_path / "own.yaml", a, a, SHA256="0" * 64)
    with pytest.raises(UserError, match=f"{a} has SHA-256 {sha256}, where 0000.* is stated"):
        predictor.load_network(str(yaml), device="cpu")


def test_detectron2s_short_addresses_are_downloaded_and_checked_as_others():
    part = ready.named_network("osnet-ain").detector
    short = part._replace(weights=part.weights.replace(ready._ZOO_ADDRESS, "detectron2://"))
    assert short.file == part.file and part.file.md5_start == "280758"


def test_a_detector_by_its_zoo_name_alone(tmp_path):
    path = tmp_path / "own.yaml"
    name = "COCO-Detection/retinanet_R_50_FPN_3x.yaml"
    path.write_text(
        f"MODEL: {{DETECTOR: {{ZOO: {name}}}, CROP_REID: {{NAME: OSNet, WEIGHTS: crops.pth}}}}\n"
    )
    assert ready.find_ready(str(path)).detector.weights == get_checkpoint_url(name)
    path.write_text(path.read_text().replace("retinanet_R_50", "retinanet_R_51"))
    with pytest.raises(UserError, match="no config .*retinanet_R_51_FPN_3x.yaml'; one is .*R_50_"):
        ready.find_ready(str(path))


@pytest.mark.parametrize(
    "text, told",
    [
        ("MODEL: {WEIGHTS: [a, b]}", r"WEIGHTS is \['a', 'b'\], where a path or an address"),
        ("READY: 3", "READY is 3, where keys with values are expected"),
        ("MODEL: [1]", r"MODEL is \[1\], where keys"),
        (b"\xff\xfe", "'utf-8' codec can't decode"),
    ],
)
def test_a_yaml_that_is_none_is_one_line(tmp_path, text, told):
    path = tmp_path / "own.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError, match=f"--model {path}: {told}"):
        ready.find_ready(str(path))


def test_without_a_network_all_that_is_missing_is_named_at_once(published, tmp_path):
    published.status = 503
    with pytest.raises(UserError) as error:
        predictor.load_network("tiny")
    base, folder = published.url.rpartition("/")[0], tmp_path / "models"
    message = str(error.value)
    assert "\n" not in message and f"put it into {folder} as detector.pth; and " in message
    assert message.endswith(f"; and {base}/crops.pth as crops.pth, which is not there either")
    folder.mkdir(exist_ok=True)
    save_part(folder / "crops.pth", 3.0)
    with pytest.raises(UserError, match="as detector.pth$"):
        predictor.load_network("tiny")

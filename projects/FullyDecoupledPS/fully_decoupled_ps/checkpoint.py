"""Loading checkpoints: what goes into which part of the network, and refusing what does not fit."""

import logging
import os
import pickle
import re

from detectron2.checkpoint import DetectionCheckpointer
from detectron2.checkpoint.c2_model_loading import align_and_update_state_dicts
from torch import nn

from .errors import UserError

logger = logging.getLogger(__name__)

_LOOKUP_TABLE = ".lookup_table"
# What reading a file that is missing, cut short or of another kind can raise.
_UNREADABLE = (OSError, EOFError, RuntimeError, pickle.UnpicklingError)


class PersonSearchCheckpointer(DetectionCheckpointer):
    """Detectron2's checkpointer, for a network of a detector and a re-id branch.

    It reads checkpoints of this project, of plain Detectron2 detectors, Detectron2's ImageNet files
    and torchvision's ResNets. Unlike its base it refuses, with a :class:`UserError`, a file that
    does not fit: any part that would stay random where a trained one is needed, or a file of which
    nothing fits. ImageNet files are loaded into the detector; :func:`initialize_side_net` is for
    the side-net.

    Attributes:
        has_loaded_reid: whether a loaded checkpoint held a re-id branch.
    """

    has_loaded_reid = False
    _must_be_trained = False

    def load_trained(self, path: str) -> None:
        """Load a whole network, to use it as it is.

        Raises:
            UserError: if any part of it is not in the file.
        """
        if not path:
            raise UserError("MODEL.WEIGHTS is empty; name the checkpoint of a trained network")
        self._must_be_trained = True
        self.load(path, checkpointables=[])
        if self.model.reid is not None and not self.has_loaded_reid:
            raise UserError(
                f"checkpoint {path} holds a detector only; train stage reid first, "
                "or evaluate the detector with SOLVER.STAGE detection"
            )

    def load(self, path, *args, **kwargs):
        if path and "://" not in path and not os.path.isfile(path):
            raise UserError(f"checkpoint {path}: no such file; name one with MODEL.WEIGHTS")
        try:
            return super().load(path, *args, **kwargs)
        except OSError as error:  # of a URL
            raise _unreadable(path, error) from error

    def _load_file(self, filename):
        try:
            checkpoint = super()._load_file(filename)
        except _UNREADABLE as error:
            raise _unreadable(filename, error) from error
        if any(name.startswith("layer1.0.") for name in checkpoint["model"]):
            checkpoint["model"] = _from_torchvision_names(checkpoint["model"])
            # the names now match by their ends, as those of Detectron2's ImageNet files do
            checkpoint["matching_heuristics"] = True
        return checkpoint

    def _load_model(self, checkpoint):
        reid = getattr(self.model, "reid", None)
        if reid is not None and checkpoint.pop("matching_heuristics", False):
            checkpoint["model"] = self._align_with_detector(checkpoint)
        state = checkpoint["model"]
        if _is_plain_detector(state):
            state = checkpoint["model"] = {f"detector.{k}": v for k, v in state.items()}
        if reid is not None:
            _fit_memories(reid, state)
        incompatible = super()._load_model(checkpoint)  # takes "model" out of it
        self._refuse_misfit(state, incompatible)
        self.has_loaded_reid |= has_reid_weights(state)
        return incompatible

    def _align_with_detector(self, checkpoint) -> dict:
        """An ImageNet file's tensors by the detector's names. By their ends they fit both nets."""
        self._convert_ndarray_to_tensor(checkpoint["model"])
        return align_and_update_state_dicts(
            self.model.detector.state_dict(),
            checkpoint["model"],
            c2_conversion=checkpoint.get("__author__") == "Caffe2",
        )

    def _refuse_misfit(self, state, incompatible) -> None:
        misfits = _misfits(incompatible)
        expected = _trained_names(self.model)
        if expected and expected <= misfits:
            raise UserError("the checkpoint is of another architecture: none of its weights fit")
        wrong = sorted(name for name in misfits if name.startswith(self._required_parts(state)))
        if wrong:
            raise UserError(
                f"the checkpoint is of another architecture: {len(wrong)} of the network's tensors "
                f"are not in it or have another shape, {wrong[0]} among them; "
                "use the config that it was trained with"
            )

    def _required_parts(self, state) -> tuple[str, ...]:
        """Prefixes of what must be in the file: all of a trained part, nothing of a new one."""
        has_branch = getattr(self.model, "reid", None) is not None
        if has_branch and has_reid_weights(state):
            return ("detector.", "reid.")
        starts_from_a_detector = has_branch and self.model.stage != "joint"
        return ("detector.",) if starts_from_a_detector or self._must_be_trained else ()


def has_reid_weights(state: dict) -> bool:
    """Whether a model's state dict holds a trained re-id branch."""
    return any(name.startswith("reid.") for name in state)


def initialize_side_net(side_net: nn.Module, weights: str, detector: nn.Module) -> None:
    """Give a new side-net's conv3, conv4 and conv5 the values that they are trained from.

    Args:
        side_net: has ``res3``, ``res4``, ``res5``.
        weights: "detector", for a copy of the detector's layers of those names; "random"; or the
            path or URL of an ImageNet checkpoint, which is loaded into the side-net alone
            (Detectron2's matching by ends of names can't tell two ``res3`` apart in one model).
        detector: the trained f_d.

    Raises:
        UserError: if nothing is said, or a layer is not in what is said.
    """
    if not side_net.state_dict():  # of a coupled network: the detector's own layers
        return
    if weights == "random":
        logger.warning(
            "The side-net starts from random weights, as MODEL.REID.SIDE_NET.WEIGHTS says"
        )
        return
    if not weights:
        raise UserError(
            "MODEL.REID.SIDE_NET.WEIGHTS is empty; name an ImageNet checkpoint, "
            'or say "detector" (a copy of the detector\'s own layers) or "random"'
        )
    checkpointer = PersonSearchCheckpointer(side_net)
    try:
        if weights == "detector":
            checkpoint = {"model": _detector_layers(detector)}
        else:
            checkpoint = checkpointer._load_file(checkpointer.path_manager.get_local_path(weights))
            checkpoint["model"] = side_net.rename_published(checkpoint["model"])
        incompatible = checkpointer._load_model(checkpoint)
    except (OSError, UserError) as error:
        raise UserError(f"MODEL.REID.SIDE_NET.WEIGHTS {weights}: {error}") from error
    _report_side_net(side_net, weights, incompatible)


def _report_side_net(side_net: nn.Module, weights: str, incompatible) -> None:
    """Log what was and what was not taken; refuse conv3, conv4 and conv5 of another network."""
    misfits = _misfits(incompatible)
    # the file of a deeper ResNet has all of a shallower one's blocks, and more of them
    blocks = {_block_of(name) for name in side_net.state_dict()}
    layers = {block.split(".")[0] for block in blocks}  # a side-net may do without its conv5
    surplus = {
        name
        for name in incompatible.unexpected_keys
        if name.split(".")[0] in layers and _block_of(name) not in blocks
    }
    for names, fault in (
        (misfits, "of the side-net are not in it or have another shape"),
        (surplus, "in it have no place in the side-net"),
    ):
        wrong = sorted(name for name in names if name.startswith(("res3.", "res4.", "res5.")))
        if wrong:
            raise UserError(
                f"MODEL.REID.SIDE_NET.WEIGHTS {weights}: {len(wrong)} tensors {fault}, {wrong[0]} "
                "among them; use weights of its architecture"
            )
    expected = _trained_names(side_net)
    logger.info(
        "The side-net starts from %s: %d of its %d tensors are taken; new are %s; "
        "of the file, not taken are %s",
        weights,
        len(expected - misfits),
        len(expected),
        _modules_of(expected & misfits),
        _modules_of(incompatible.unexpected_keys),
    )


def _block_of(name: str) -> str:
    """ "res3.2" for the name of any tensor in it."""
    return ".".join(name.split(".")[:2])


def _misfits(incompatible) -> set[str]:
    """Names of a network's tensors that a checkpoint did not fill."""
    shapes = {name for name, *_ in incompatible.incorrect_shapes}
    return shapes | {n for n in incompatible.missing_keys if not n.endswith("num_batches_tracked")}


def _trained_names(module: nn.Module) -> set[str]:
    return {name for name in module.state_dict() if not name.endswith("num_batches_tracked")}


def _modules_of(names) -> str:
    """ "res2, stem" for the names of any tensors in these."""
    return ", ".join(sorted({name.split(".")[0] for name in names})) or "none"


def _unreadable(path: str, error: Exception) -> UserError:
    reason = " ".join(str(error).split())
    return UserError(f"checkpoint {path} can't be read: {reason or type(error).__name__}")


def _detector_layers(detector: nn.Module) -> dict:
    """The detector's ``res3``, ``res4`` and ``res5``, wherever they stand, by their short names."""
    state = {}
    for name, value in detector.state_dict().items():
        match = re.search(r"(?:^|\.)(res[345]\..*)", name)
        if match:
            state[match[1]] = value
    return state


def _is_plain_detector(state: dict) -> bool:
    return any(name.startswith("backbone.") for name in state)


def _fit_memories(reid: nn.Module, state: dict) -> None:
    """Give the memories of a branch, one for each of its heads, the checkpoint's sizes."""
    for name, module in reid.named_modules():
        table = state.get(f"reid.{name}{_LOOKUP_TABLE}")
        if table is not None:
            _fit_memory(module, len(table))


def _fit_memory(memory: nn.Module, rows: int) -> None:
    if memory.num_ids == 0:
        memory.resize_lookup_table(rows)
    elif memory.num_ids != rows:
        raise UserError(
            f"the checkpoint was trained on {rows} identities, but MODEL.REID.NUM_IDS (or the "
            f"training data) says {memory.num_ids}; use the data that it was trained on"
        )


def _from_torchvision_names(state: dict) -> dict:
    """torchvision's ResNet parameter names -> Detectron2's."""
    renamed = {}
    for name, value in state.items():
        if not name.startswith("layer"):
            name = f"stem.{name}"
        name = re.sub(r"^layer(\d)", lambda m: f"res{int(m[1]) + 1}", name)
        name = name.replace("downsample.0", "shortcut").replace("downsample.1", "shortcut.norm")
        renamed[re.sub(r"\bbn(\d)", r"conv\1.norm", name)] = value
    return renamed

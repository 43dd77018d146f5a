"""Loading checkpoints: what goes into which part of the network, and refusing what does not fit."""

import logging
import os
import re

from detectron2.checkpoint import DetectionCheckpointer
from torch import nn

from .errors import UserError

logger = logging.getLogger(__name__)

_LOOKUP_TABLE = "reid.memory.lookup_table"


class PersonSearchCheckpointer(DetectionCheckpointer):
    """Detectron2's checkpointer, for a network of a detector and a re-id branch.

    It reads checkpoints of this project, of plain Detectron2 detectors, Detectron2's ImageNet files
    and torchvision's ResNets. Unlike its base it refuses, with a :class:`UserError`, a file that
    does not fit: any part of a re-id branch or of a detector to be frozen that would stay random,
    or a file of which nothing fits.

    Attributes:
        has_loaded_reid: whether a loaded checkpoint held a re-id branch.
    """

    has_loaded_reid = False

    def load_trained(self, path: str) -> None:
        """Load a whole network, to use it as it is.

        Raises:
            UserError: if any part of it is not in the file.
        """
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
        except OSError as error:
            raise UserError(f"checkpoint {path} can't be read: {error}") from error

    def _load_file(self, filename):
        checkpoint = super()._load_file(filename)
        if any(name.startswith("layer1.0.") for name in checkpoint["model"]):
            checkpoint["model"] = _from_torchvision_names(checkpoint["model"])
            # the names now match by their ends, as those of Detectron2's ImageNet files do
            checkpoint["matching_heuristics"] = True
        return checkpoint

    def _load_model(self, checkpoint):
        state = checkpoint["model"]
        if _is_plain_detector(state):
            state = checkpoint["model"] = {f"detector.{k}": v for k, v in state.items()}
        reid = getattr(self.model, "reid", None)
        if reid is not None and _LOOKUP_TABLE in state:
            _fit_memory(reid.memory, len(state[_LOOKUP_TABLE]))
        incompatible = super()._load_model(checkpoint)  # takes "model" out of it
        self._refuse_misfit(state, incompatible)
        self.has_loaded_reid |= has_reid_weights(state)
        return incompatible

    def _refuse_misfit(self, state, incompatible) -> None:
        misfits = {name for name, *_ in incompatible.incorrect_shapes} | {
            name for name in incompatible.missing_keys if not name.endswith("num_batches_tracked")
        }
        expected = {k for k in self.model.state_dict() if not k.endswith("num_batches_tracked")}
        if expected and expected <= misfits:
            raise UserError("the checkpoint is of another architecture: none of its weights fit")
        if getattr(self.model, "reid", None) is None:
            return
        required = ("detector.", "reid.") if has_reid_weights(state) else ("detector.",)
        wrong = sorted(name for name in misfits if name.startswith(required))
        if wrong:
            raise UserError(
                f"the checkpoint is of another architecture: {len(wrong)} of the network's tensors "
                f"are not in it or have another shape, {wrong[0]} among them; "
                "use the config that it was trained with"
            )


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
    if weights == "random":
        logger.warning("The side-net starts from random weights, as MODEL.REID.SIDE_NET.WEIGHTS says")
        return
    if not weights:
        raise UserError(
            "MODEL.REID.SIDE_NET.WEIGHTS is empty; name an ImageNet checkpoint, "
            'or say "detector" (a copy of the detector\'s own layers) or "random"'
        )
    if weights == "detector":
        incompatible = side_net.load_state_dict(_detector_layers(detector), strict=False)
        missing = incompatible.missing_keys
    else:
        checkpointer = PersonSearchCheckpointer(side_net)
        checkpoint = checkpointer._load_file(checkpointer.path_manager.get_local_path(weights))
        incompatible = checkpointer._load_model(checkpoint)
        missing = incompatible.missing_keys + [name for name, *_ in incompatible.incorrect_shapes]
    missing = [
        name
        for name in missing
        if name.startswith(("res3.", "res4.", "res5.")) and not name.endswith("num_batches_tracked")
    ]
    if missing:
        raise UserError(
            f"MODEL.REID.SIDE_NET.WEIGHTS {weights}: {len(missing)} tensors of the side-net are not "
            f"in it or have another shape, {missing[0]} among them; use weights of its depth"
        )
    logger.info("The side-net starts from %s", weights)


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


def _fit_memory(memory: nn.Module, rows: int) -> None:
    if memory.num_ids == 0:
        memory.resize_lookup_table(rows)
    elif memory.num_ids != rows:
        raise UserError(
            f"the checkpoint was trained on {rows} identities, but MODEL.REID.NUM_IDS (or the "
            f"training data) says {memory.num_ids}; use the data that it was trained on"
        )


def _from_torchvision_names(state: dict) -> dict:
    """torchvision's ResNet parameter names -> Detectron2's; the classifier is left out."""
    renamed = {}
    for name, value in state.items():
        if name.startswith("fc."):
            continue
        if not name.startswith("layer"):
            name = f"stem.{name}"
        name = re.sub(r"^layer(\d)", lambda m: f"res{int(m[1]) + 1}", name)
        name = name.replace("downsample.0", "shortcut").replace("downsample.1", "shortcut.norm")
        renamed[re.sub(r"\bbn(\d)", r"conv\1.norm", name)] = value
    return renamed

"""Detectron2's checkpointer: what goes into which part of the network, and refusing what can't."""

import os

from detectron2.checkpoint import DetectionCheckpointer
from detectron2.checkpoint.c2_model_loading import align_and_update_state_dicts
from torch import nn

from ..config import STAGES_FROM_DETECTOR
from ..data.fingerprint import differences
from ..errors import UserError
from ..modeling.meta_arch import num_classes
from ..utils.files import atomic_write, os_error_in, remove_partial_files, unwritable
from .blocks import surplus_blocks, taken_of_each_stage
from .crop_names import name_of_crop_network
from .detector_classes import classes_in, keep_class
from .names import current_name
from .reading import read_checkpoint
from .staged import place_published, staged_backbone, tell_published
from .unfilled import left_random

DETECTOR = "detector."
_LOOKUP_TABLE = ".lookup_table"
CROP_STREAM = "crop_stream."
STATISTICS = (".running_mean", ".running_var")


class AtomicPathManager:
    """A path manager whose ``open`` for writing gives the file its name when it is whole."""

    def __init__(self, path_manager):
        self._path_manager = path_manager

    def __getattr__(self, name):
        return getattr(self._path_manager, name)

    def open(self, path, mode="r", **kwargs):
        open_file = atomic_write if "w" in mode else self._path_manager.open
        return open_file(path, mode, **kwargs)


class PersonSearchCheckpointer(DetectionCheckpointer):
    """Detectron2's checkpointer, for a network of a detector and a re-id branch.

    It reads checkpoints of this project, of plain Detectron2 detectors, Detectron2's ImageNet files
    and torchvision's ResNets; and, for a staged backbone, its network's published files, which have
    to fill all of its stages. Unlike its base it refuses, with a :class:`UserError`, a file that
    does not fit: any part that would stay random where a trained one is needed, or a file of which
    nothing fits. ImageNet files are loaded into the detector; :func:`initialize_side_net` is for
    the side-net. A file is read without running anything that it asks to run.

    A checkpoint, and then ``last_checkpoint``, is written aside and renamed when it is on the disk:
    whatever ends the process, ``last_checkpoint`` names a whole file.

    Attributes:
        has_loaded_reid: whether a loaded checkpoint held a re-id branch.
        training_data: the fingerprint of what a network, loaded but not resumed, was trained on;
            None if the checkpoint does not say.
        new_training_data: the fingerprint of the data of a training that starts. A re-id network
            that was trained on other persons is then taken without its memories of them; None, as
            in a training that goes on, keeps them.
    """

    has_loaded_reid = False
    training_data = None
    new_training_data = None
    _must_be_trained = False
    _is_resumed = False
    _published = frozenset()

    def __init__(self, model, save_dir="", **kwargs):
        super().__init__(model, save_dir, **kwargs)
        self.path_manager = AtomicPathManager(self.path_manager)

    def save(self, name, **kwargs):
        try:
            super().save(name, **kwargs)
        except (OSError, RuntimeError) as error:  # PyTorch's writer raises the second from a first
            if os_error_in(error) is None:
                raise
            last = self.get_checkpoint_file()
            kept = f"; {last}, the one before it, is whole" if last else ""
            path = os.path.join(self.save_dir, f"{name}.pth")
            raise UserError(f"checkpoint {unwritable(path, error)}{kept}") from error

    def resume_or_load(self, path, *, resume=True):
        self._is_resumed = resume and self.has_checkpoint()
        return super().resume_or_load(path, resume=resume)

    def load_trained(self, path: str) -> None:
        """Load a whole network, to use it as it is.

        Raises:
            UserError: if any part of it is not in the file.
        """
        self.load_detector(path)
        if self.model.reid is not None and not self.has_loaded_reid:
            raise UserError(
                f"checkpoint {path} holds a detector only; train stage reid first, "
                "or evaluate the detector with SOLVER.STAGE detection"
            )

    def load_detector(self, path: str) -> None:
        """Load a whole detector, to use it as it is, and f_r if the file holds one, whole as well.

        Raises:
            UserError: if any part of it is not in the file.
        """
        if not path:
            raise UserError("MODEL.WEIGHTS is empty; name the checkpoint of a trained network")
        self._must_be_trained = True
        self.load(path, checkpointables=[])

    def remove_partial_files(self) -> None:
        """Remove what a killed run left of a checkpoint that it was writing."""
        if self.save_dir and self.save_to_disk:
            for pattern in ("*.pth", "last_checkpoint"):
                for path in remove_partial_files(self.save_dir, pattern):
                    self.logger.info("Removed %s, which a killed run has left unfinished", path)

    def load(self, path, *args, **kwargs):
        if path and "://" not in path and not os.path.isfile(path):
            raise UserError(f"checkpoint {path}: no such file; name one with MODEL.WEIGHTS")
        try:
            rest = super().load(path, *args, **kwargs)
        except OSError as error:  # of a URL
            raise UserError(
                f"checkpoint {path} can't be downloaded: {error}; get the file in another way, and "
                "name its path with MODEL.WEIGHTS"
            ) from error
        except AssertionError as error:  # its base's word for an address of no known kind
            raise UserError(
                f"checkpoint {path} can't be downloaded; name a path, or an address of http://, "
                "https:// or detectron2://"
            ) from error
        self.training_data = rest.get("trainer", {}).get("training_data")
        return rest

    def _load_file(self, filename):
        # where its base would unpickle anything
        is_staged = staged_backbone(getattr(self.model, "detector", None)) is not None
        return read_checkpoint(filename, keeps_names=is_staged)

    def _load_model(self, checkpoint):
        reid = getattr(self.model, "reid", None)
        if reid is not None and checkpoint.pop("matching_heuristics", False):
            checkpoint["model"] = self._align_with_detector(checkpoint)
        state = {current_name(name): value for name, value in checkpoint["model"].items()}
        if _is_plain_detector(state):
            state = {f"detector.{k}": v for k, v in state.items()}
        self._published = set()
        if hasattr(self.model, "detector"):
            state, self._published = place_published(self.model.detector, state, DETECTOR)
            self._refuse_caffe2_classes(state)
            state = self._fit_classes(state)
        checkpoint["model"] = state
        if reid is not None:
            if self.new_training_data is not None and has_reid_weights(state):
                self._renew_memories(reid, checkpoint)
            _fit_memories(reid, state)
            self._fit_crop_stream(reid, state)
        incompatible = super()._load_model(checkpoint)  # takes "model" out of it
        self._refuse_misfit(state, incompatible)
        if has_reid_weights(state):
            self.has_loaded_reid = True
        else:  # what f_r starts from is told where it gets that; its base lists what is not here
            missing = incompatible.missing_keys
            missing[:] = [name for name in missing if not name.startswith("reid.")]
        return incompatible

    def _fit_classes(self, state: dict) -> dict:
        """A detector of several classes that is trained further for one keeps what it knows of it.

        In any other use the network and the file must have the same classes.
        """
        detector, kept = self.model.detector, self.model.person_class
        own = {k.removeprefix(DETECTOR): v for k, v in state.items() if k.startswith(DETECTOR)}
        given, wanted = classes_in(detector, own), num_classes(detector)
        if wanted is None or given in (None, wanted):
            return state
        is_trained = self.model.stage != "reid" and not self._must_be_trained
        if wanted == 1 and is_trained and 0 <= kept < given:
            self.logger.info(
                "Of the checkpoint's %d classes, the detector starts from what is known of class "
                "%d (MODEL.DETECTOR.PERSON_CLASS)",
                *(given, kept),
            )
            return state | {DETECTOR + k: v for k, v in keep_class(detector, own, kept).items()}
        raise UserError(
            f"the checkpoint's detector has {given} class{'es' * (given > 1)}, and the config's "
            f"{wanted}; "
            f"to use it as it is, set the detector's NUM_CLASSES (of MODEL.ROI_HEADS, RETINANET or "
            f"FCOS) to {given} and MODEL.DETECTOR.PERSON_CLASS to that of persons (0 in COCO)"
            + ("; to fine-tune it to persons alone, set the latter and SOLVER.STAGE detection")
            * (given > 1)
        )

    def _refuse_caffe2_classes(self, state: dict) -> None:
        """A detector of Detectron, under its own names, has its classes in another order."""
        wanted, scores = num_classes(self.model.detector), state.get("cls_score_b")
        if scores is not None and wanted not in (None, len(scores) - 1):
            raise UserError(
                f"the checkpoint is a detector of Detectron (Caffe2) with {len(scores) - 1} "
                f"classes, and the config's has {wanted}; such a file can't be fine-tuned to one "
                "of them: take one of Detectron2's model zoo, or set the detector's NUM_CLASSES"
            )

    def _renew_memories(self, reid: nn.Module, checkpoint: dict) -> None:
        """Leave a checkpoint's memories out where their rows stand for other persons."""
        trained_on = checkpoint.get("trainer", {}).get("training_data")
        if trained_on is None:
            known = "it does not say on which persons it was trained"
        elif changes := differences(trained_on, self.new_training_data):
            known = f"it was trained on other data ({changes})"
        else:
            return
        for name, memory in _memories(reid, checkpoint["model"]):
            fresh = {f"{name}.{key}": value for key, value in memory.state_dict().items()}
            checkpoint["model"].update(fresh)
        self.logger.warning(
            "The re-id network of the checkpoint is the start of this training. %s: its weights "
            "are kept, and the memory of identities (lookup table and queue) starts anew",
            known[0].upper() + known[1:],
        )

    def _fit_crop_stream(self, reid: nn.Module, state: dict) -> None:
        """The memory of crops (MODEL.REID.ORD) is of training alone: either may be without it.

        Raises:
            UserError: if a training would go on as another.
        """
        given = [name for name in state if name.startswith(f"reid.{CROP_STREAM}")]
        stream = getattr(reid, "crop_stream", None)
        if self._is_resumed and bool(given) != (stream is not None):
            raise UserError(
                f"--resume: the training was begun with MODEL.REID.ORD.ENABLED {bool(given)}, and "
                f"the config says {not given}; set it to {bool(given)}, or train anew in another "
                "OUTPUT_DIR"
            )
        if given and stream is None:
            for name in given:
                del state[name]
            self.logger.info(
                "The checkpoint's memory of crops is left out: it is of training with "
                "MODEL.REID.ORD alone, which is off here"
            )
        elif stream is not None and not given and has_reid_weights(state):
            stream.memory.resize_lookup_table(reid.memory.num_ids)
            state.update(stream.state_dict(prefix=f"reid.{CROP_STREAM}"))
            self.logger.info(
                "The checkpoint has no memory of crops (MODEL.REID.ORD), which starts empty"
            )

    def _align_with_detector(self, checkpoint) -> dict:
        """An ImageNet file's tensors by the detector's names; their ends would fit both nets."""
        self._convert_ndarray_to_tensor(checkpoint["model"])
        return align_and_update_state_dicts(
            self.model.detector.state_dict(),
            checkpoint["model"],
            c2_conversion=checkpoint.get("__author__") == "Caffe2",
        )

    def _refuse_misfit(self, state, incompatible) -> None:
        misfits = misfits_of(incompatible)
        # a frozen norm makes up the statistics that a file has not
        expected = {n for n in trained_names(self.model) if not n.endswith(STATISTICS)}
        if expected and expected <= misfits:
            known = name_of_crop_network(state)
            begin = {name.removeprefix(DETECTOR).partition(".")[0] for name in state}
            raise UserError(
                "the checkpoint is of another architecture: none of its weights fit"
                + (f"; it looks like {known}, which MODEL.CROP_REID takes" if known else "")
                + (f"; all of its names begin with {min(begin)!r}" if len(begin) == 1 else "")
            )
        if self._is_resumed:
            self._refuse_other_network(misfits, incompatible.unexpected_keys)
        if hasattr(self.model, "detector"):
            self._tell_surplus_blocks(state, misfits, incompatible.unexpected_keys)
        parts = self._required_parts(state)
        # a group norm, say, has no place for a batch norm's statistics; a frozen one counts nothing
        surplus = self._surplus_of_parts(incompatible.unexpected_keys)
        surplus = {name for name in surplus if not name.endswith("num_batches_tracked")}
        # what is trained further may do without a part of its own, and what is not, without losses
        unneeded = "reid.losses." if self._must_be_trained else "reid."
        surplus = {name for name in surplus if not name.startswith(unneeded)}
        wrong = {n for n in misfits | surplus if n.startswith(parts)} | misfits & self._published
        if wrong:
            raise UserError(
                f"the checkpoint is of another architecture: {len(wrong)} tensors are in it or in "
                f"the network alone, or have another shape, {min(wrong)} among them; "
                "use the config that it was trained with"
            )
        detector = getattr(self.model, "detector", None)
        if detector is not None and (wrong := left_random(detector, misfits, DETECTOR)):
            raise UserError(
                f"the checkpoint is of another architecture: {len(wrong)} tensors of the "
                "detector's backbone are not in it or have another shape, and would be frozen at "
                f"random values, or whole blocks of them random, {wrong[0]} among them; name "
                "weights of this backbone, or change it (MODEL.BACKBONE, RESNETS, STAGED, "
                "DETECTOR.BLOCKS)"
            )
        if self._published:
            tell_published(self._published, misfits, incompatible.unexpected_keys)

    def _refuse_other_network(self, misfits: set[str], unexpected: list[str]) -> None:
        """What goes on must be what was begun: nothing of it is new, and nothing is lost."""
        if wrong := misfits | self._surplus_of_parts(unexpected):
            raise UserError(
                f"--resume: the checkpoint doesn't fit this config's network: {len(wrong)} tensors "
                f"are in one of them alone or have another shape, {min(wrong)} among them; go on "
                "with the config that it was begun with, or train anew in another OUTPUT_DIR"
            )

    def _surplus_of_parts(self, unexpected: list[str]) -> set[str]:
        """A file's surplus tensors that are of f_r, or of a layer that the network has."""
        layers = {name.rpartition(".")[0] for name in self.model.state_dict()}
        return {n for n in unexpected if n.startswith("reid.") or n.rpartition(".")[0] in layers}

    def _tell_surplus_blocks(self, state, misfits: set[str], unexpected: list[str]) -> None:
        """A lighter detector takes a file's first blocks, as a start; not those of a trained one.

        Raises:
            UserError: if the file is to be used as it is.
        """
        own = trained_names(self.model)
        surplus = surplus_blocks(own, unexpected)
        if not surplus:
            return
        listed = ", ".join(map(str, surplus))
        if self._required_parts(state):
            raise UserError(
                "the checkpoint is of another architecture: it has residual blocks that the "
                f"network has not, {listed}; use the config that it was trained with "
                "(MODEL.DETECTOR.BLOCKS, MODEL.RESNETS.DEPTH)"
            )
        self.logger.info(
            "The detector has fewer residual blocks than the checkpoint, and takes the first of "
            "each stage: %s; of the checkpoint, left out are %s",
            *(taken_of_each_stage(own, misfits, surplus), listed),
        )

    def _log_incompatible_keys(self, incompatible):
        # a detector's file is used with another one for f_r, which is refused if it is not whole
        if self._must_be_trained and not self.has_loaded_reid:
            missing = [n for n in incompatible.missing_keys if not n.startswith("reid.")]
            incompatible = incompatible._replace(missing_keys=missing)
        super()._log_incompatible_keys(incompatible)

    def _required_parts(self, state) -> tuple[str, ...]:
        """Prefixes of what must be in the file: all of a trained part, nothing of a new one."""
        has_branch = getattr(self.model, "reid", None) is not None
        if has_branch and has_reid_weights(state):
            return ("detector.", "reid.")
        starts_from_a_detector = has_branch and self.model.stage in STAGES_FROM_DETECTOR
        return ("detector.",) if starts_from_a_detector or self._must_be_trained else ()


def has_reid_weights(state: dict) -> bool:
    """Whether a model's state dict holds a trained re-id branch."""
    return any(name.startswith("reid.") for name in state)


def misfits_of(incompatible) -> set[str]:
    """Names of a network's tensors that a checkpoint did not fill."""
    shapes = {name for name, *_ in incompatible.incorrect_shapes}
    return shapes | {n for n in incompatible.missing_keys if not n.endswith("num_batches_tracked")}


def trained_names(module: nn.Module) -> set[str]:
    return {name for name in module.state_dict() if not name.endswith("num_batches_tracked")}


def _is_plain_detector(state: dict) -> bool:
    # fast-reid's networks for crops have a "backbone" too, but "heads" where detectors have others
    has = {name.split(".")[0] for name in state}
    return "backbone" in has and "heads" not in has


def _fit_memories(reid: nn.Module, state: dict) -> None:
    """Give the memories of a branch, one for each of its heads, the checkpoint's sizes."""
    for name, memory in _memories(reid, state):
        rows = len(state[name + _LOOKUP_TABLE])
        if memory.num_ids == 0:
            memory.resize_lookup_table(rows)
        elif memory.num_ids != rows:
            raise UserError(
                f"the checkpoint was trained on {rows} identities, but MODEL.REID.NUM_IDS (or the "
                f"training data) says {memory.num_ids}; use the data that it was trained on"
            )


def _memories(reid: nn.Module, state: dict) -> list[tuple[str, nn.Module]]:
    """A branch's memories that a state dict has as well, by their names there."""
    named = ((f"reid.{name}", module) for name, module in reid.named_modules())
    return [(name, module) for name, module in named if name + _LOOKUP_TABLE in state]

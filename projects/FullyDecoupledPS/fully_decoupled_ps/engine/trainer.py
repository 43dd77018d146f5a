"""The trainer: Detectron2's, with this project's data, evaluator, checkpoints and hooks."""

import os
import warnings
import weakref

import torch
from detectron2.data import DatasetCatalog
from detectron2.engine import DefaultTrainer, SimpleTrainer, TrainerBase
from detectron2.utils import comm

from ..checkpoint import PersonSearchCheckpointer, initialize_reid
from ..config import STAGES_FROM_DETECTOR
from ..data import (
    PersonSearchMapper,
    TrainLoader,
    build_person_search_test_loader,
    frames_of_no_gallery,
)
from ..evaluation import PersonSearchEvaluator
from ..modeling import BoxNoise, check_regions_are_known
from ..utils.files import drop_torn_line, tell_unwritable
from ..visualization.tensorboard_pictures import EvaluatorWithPictures
from .divergence import LatestBatch
from .hooks import LeftOutImages, LossNormalizers, SeedIterations
from .later_stages import check_reid_beside
from .launch import ddp_on
from .map_cache import KeepMaps
from .precision import precision_of, tell_other_precision, with_precision
from .resume import check_resumable, restore_optimizer, restore_stream, warn_of_other_data
from .solver import build_optimizer, scale_to_processes
from .writers import ReIDMetricPrinter, StoppingWriter


class Trainer(DefaultTrainer):
    """Detectron2's trainer with this project's data, evaluator and checkpoints."""

    def __init__(self, cfg):
        cfg = with_precision(cfg)
        with ddp_on(cfg.MODEL.DEVICE), warnings.catch_warnings():
            # of the AMPTrainer that is replaced below, and of what Detectron2 calls to make one
            warnings.filterwarnings("ignore", ".*GradScaler")
            super().__init__(scale_to_processes(cfg, comm.get_world_size()))
        if cfg.SOLVER.AMP.ENABLED and torch.device(cfg.MODEL.DEVICE).type == "cpu":
            # DefaultTrainer asks no factory for its AMPTrainer, whose step insists on CUDA; on a
            # CPU the network casts by itself (see precision.py)
            made = self._trainer
            self._trainer = SimpleTrainer(made.model, made.data_loader, made.optimizer)
        if cfg.SOLVER.STAGE == "detection":
            check_reid_beside(self.checkpointer.model, cfg)
        self.latest_batch = LatestBatch(self._trainer.model)
        if cfg.SOLVER.STAGE != "reid" and self.train_loader.has_ignore_regions:
            check_regions_are_known(self.checkpointer.model.detector)

    def run_step(self):
        try:
            # Detectron2's focal loss is a TorchScript function, which is rewritten after its first
            # calls and rounds differently then; a resumed run has such first calls as well
            with torch.jit.optimized_execution(False):
                super().run_step()
        except FloatingPointError as error:
            raise self.latest_batch.divergence_error(
                error, self.iter, self.cfg.OUTPUT_DIR
            ) from error

    @property
    def train_loader(self) -> TrainLoader:
        return self._trainer.data_loader

    def build_hooks(self):
        # DefaultTrainer has no factory for its checkpointer, and its hooks are about to take it.
        self.checkpointer = PersonSearchCheckpointer(
            self._trainer.model, self.cfg.OUTPUT_DIR, trainer=weakref.proxy(self)
        )
        self.checkpointer.remove_partial_files()
        model, loader = self.checkpointer.model, self.train_loader
        keeps_maps = self.cfg.SOLVER.STAGE == "reid" and self.cfg.MODEL.REID.MAP_CACHE.FOLDER
        return [
            *([KeepMaps(self.cfg, model, loader)] if keeps_maps else []),
            SeedIterations(loader),
            LossNormalizers(model, self.cfg.SOLVER.CHECKPOINT_PERIOD),
            LeftOutImages(loader),
            *super().build_hooks(),
        ]

    def resume_or_load(self, resume=True):
        if not (resume and self.checkpointer.has_checkpoint()):
            self.checkpointer.new_training_data = self.train_loader.fingerprint
        super().resume_or_load(resume)
        starts_from_detector = not self.checkpointer.has_loaded_reid
        if self.cfg.SOLVER.STAGE in STAGES_FROM_DETECTOR and starts_from_detector:
            warn_of_other_data(self.checkpointer.training_data, self.train_loader.fingerprint)
        model = self.checkpointer.model
        if model.reid is not None and starts_from_detector:
            initialize_reid(model, self.cfg)

    def state_dict(self):
        return {
            **super().state_dict(),
            # Detectron2's main branch has this; v0.6 leaves the optimiser out of its checkpoints.
            "_trainer": self._trainer.state_dict(),
            "stage": self.cfg.SOLVER.STAGE,
            "precision": precision_of(self.cfg),
            "stream": self.train_loader.state_dict(),
            "training_data": self.train_loader.fingerprint,
        }

    def load_state_dict(self, state_dict):
        check_resumable(state_dict, self.cfg.SOLVER.STAGE, self.train_loader.fingerprint)
        tell_other_precision(state_dict, precision_of(self.cfg))
        # not DefaultTrainer's, which in the main branch can't do without "_trainer"
        TrainerBase.load_state_dict(self, state_dict)
        restore_optimizer(self._trainer, state_dict)
        restore_stream(self.train_loader, state_dict)

    def build_writers(self):
        folder = self.cfg.OUTPUT_DIR
        # a line that a killed run has left torn would spoil the one that follows
        drop_torn_line(os.path.join(folder, "metrics.json"))
        with tell_unwritable(folder):
            writers = [*super().build_writers(), ReIDMetricPrinter()]
        return [StoppingWriter(writer, folder) for writer in writers]

    @classmethod
    def build_optimizer(cls, cfg, model):
        return build_optimizer(cfg, model)

    @classmethod
    def build_train_loader(cls, cfg):
        return TrainLoader(cfg)

    @classmethod
    def build_test_loader(cls, cfg, dataset_name):
        search = cfg.TEST.SEARCH
        # context matching and pictures look at who is in a query's frame; so may who reads the file
        looks_at_all = search.CBGM or search.PICTURES or search.SAVE_PREDICTIONS
        queries_only = () if looks_at_all else frames_of_no_gallery(dataset_name)
        if search.GT_BOXES_ONLY:
            queries_only = {d["image_id"] for d in DatasetCatalog.get(dataset_name)}
        mapper = PersonSearchMapper(
            cfg,
            is_train=False,
            query_all_boxes=search.GT_BOXES or search.GT_BOXES_ONLY,
            queries_only=queries_only,
        )
        return build_person_search_test_loader(cfg, dataset_name, mapper)

    @classmethod
    def build_evaluator(cls, cfg, dataset_name):
        output_dir = os.path.join(cfg.OUTPUT_DIR, "inference", dataset_name)
        if not cfg.TEST.SEARCH.PICTURES:
            return PersonSearchEvaluator(cfg, dataset_name, output_dir=output_dir)
        noise = None if cfg.SOLVER.STAGE == "detection" else BoxNoise(cfg)
        return EvaluatorWithPictures(cfg, dataset_name, output_dir=output_dir, box_noise=noise)

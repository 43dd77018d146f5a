#!/usr/bin/env python
"""Train and evaluate the fully decoupled person search network.

python train_net.py --config-file F                                 trains the detector
python train_net.py --config-file F SOLVER.STAGE reid               then the re-id side-net
python train_net.py --config-file F SOLVER.STAGE hybrid             or both, from that detector
python train_net.py --config-file F SOLVER.STAGE joint              or both from the start
python train_net.py --config-file F --eval-only SOLVER.STAGE reid   evaluates the last checkpoint
"""

import logging
import os
import sys
import weakref

from detectron2.config import get_cfg
from detectron2.data import build_detection_test_loader, build_detection_train_loader
from detectron2.engine import DefaultTrainer, default_argument_parser, default_setup, launch
from detectron2.evaluation import verify_results
from detectron2.utils import comm
from detectron2.utils.logger import setup_logger
from torch.multiprocessing import ProcessExitedException

from fully_decoupled_ps import (
    UserError,
    add_fully_decoupled_ps_config,
    apply_stage,
    check_config,
    merge_config,
)
from fully_decoupled_ps.checkpoint import PersonSearchCheckpointer, initialize_side_net
from fully_decoupled_ps.data import PersonSearchMapper
from fully_decoupled_ps.divergence import LatestBatch, NoTracebackOfUserErrors, divergence_error
from fully_decoupled_ps.evaluation import PersonSearchEvaluator
from fully_decoupled_ps.metric_printer import ReIDMetricPrinter
from fully_decoupled_ps.modeling import BoxNoise
from fully_decoupled_ps.solver import build_optimizer
from fully_decoupled_ps.utils.tensorboard_pictures import EvaluatorWithPictures


class Trainer(DefaultTrainer):
    """Detectron2's trainer with this project's data, evaluator and checkpoints."""

    def __init__(self, cfg):
        super().__init__(cfg)
        self.latest_batch = LatestBatch(self._trainer.model)

    def run_step(self):
        try:
            super().run_step()
        except FloatingPointError as error:
            files, folder = self.latest_batch.files, self.cfg.OUTPUT_DIR
            raise divergence_error(error, self.iter, files, folder) from error

    def build_hooks(self):
        # DefaultTrainer has no factory for its checkpointer, and its hooks are about to take it.
        self.checkpointer = PersonSearchCheckpointer(
            self._trainer.model, self.cfg.OUTPUT_DIR, trainer=weakref.proxy(self)
        )
        return super().build_hooks()

    def resume_or_load(self, resume=True):
        super().resume_or_load(resume)
        model = self.checkpointer.model
        if model.reid is not None and not self.checkpointer.has_loaded_reid:
            weights = self.cfg.MODEL.REID.SIDE_NET.WEIGHTS
            initialize_side_net(model.reid.side_net, weights, model.detector)

    def state_dict(self):
        # Detectron2's main branch has this; v0.6 leaves the optimiser out of its checkpoints.
        return {**super().state_dict(), "_trainer": self._trainer.state_dict()}

    def load_state_dict(self, state_dict):
        super().load_state_dict(state_dict)
        self._trainer.load_state_dict(state_dict["_trainer"])

    def build_writers(self):
        return [*super().build_writers(), ReIDMetricPrinter()]

    @classmethod
    def build_optimizer(cls, cfg, model):
        return build_optimizer(cfg, model)

    @classmethod
    def build_train_loader(cls, cfg):
        return build_detection_train_loader(cfg, mapper=PersonSearchMapper(cfg, is_train=True))

    @classmethod
    def build_test_loader(cls, cfg, dataset_name):
        mapper = PersonSearchMapper(cfg, is_train=False, query_all_boxes=cfg.TEST.SEARCH.GT_BOXES)
        return build_detection_test_loader(cfg, dataset_name, mapper=mapper)

    @classmethod
    def build_evaluator(cls, cfg, dataset_name):
        output_dir = os.path.join(cfg.OUTPUT_DIR, "inference", dataset_name)
        if not cfg.TEST.SEARCH.PICTURES:
            return PersonSearchEvaluator(cfg, dataset_name, output_dir=output_dir)
        noise = None if cfg.SOLVER.STAGE == "detection" else BoxNoise(cfg)
        return EvaluatorWithPictures(cfg, dataset_name, output_dir=output_dir, box_noise=noise)


def setup(args):
    """The checked and frozen config of one run."""
    cfg = get_cfg()
    add_fully_decoupled_ps_config(cfg)
    merge_config(cfg, args.config_file, args.opts)
    apply_stage(cfg, args.opts, eval_only=args.eval_only, resume=args.resume)
    # before the data are read: what the loaders count and find odd belongs into the log
    setup_logger(cfg.OUTPUT_DIR, distributed_rank=comm.get_rank(), name="fully_decoupled_ps")
    check_config(cfg, eval_only=args.eval_only)
    cfg.freeze()
    default_setup(cfg, args)
    return cfg


def main(args):
    cfg = setup(args)
    if args.eval_only:
        model = Trainer.build_model(cfg)
        PersonSearchCheckpointer(model, cfg.OUTPUT_DIR).load_trained(cfg.MODEL.WEIGHTS)
        results = Trainer.test(cfg, model)
        if comm.is_main_process():
            verify_results(cfg, results)
        return results
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume=args.resume)
    return trainer.train()


def run(args):
    """:func:`main` in one of the processes: a user's error is one line, and exit status 2."""
    logging.getLogger("detectron2.engine.train_loop").addFilter(NoTracebackOfUserErrors())
    try:
        main(args)
    except UserError as error:
        if comm.is_main_process():
            print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    args = default_argument_parser().parse_args()
    try:
        launch(
            run,
            args.num_gpus,
            num_machines=args.num_machines,
            machine_rank=args.machine_rank,
            dist_url=args.dist_url,
            args=(args,),
        )
    except ProcessExitedException as error:  # of several processes; it has said why
        sys.exit(error.exit_code)

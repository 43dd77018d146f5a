#!/usr/bin/env python
"""Evaluate the network that stage reid starts from: the trained detector, an untrained side-net.

python evaluate_untrained.py --config-file F [KEY VALUE ...]

It takes the arguments of train_net.py, and writes to OUTPUT_DIR/reid/inference/<dataset>/untrained.
"""

import os
import sys

from detectron2.engine import default_argument_parser

from fully_decoupled_ps.engine.trainer import Trainer
from fully_decoupled_ps.evaluation import PersonSearchEvaluator
from fully_decoupled_ps.train_net import setup
from fully_decoupled_ps.utils.commands import in_one_line


@in_one_line
def main() -> None:
    args = default_argument_parser().parse_args()
    args.opts = [*args.opts, "SOLVER.STAGE", "reid"]
    cfg = setup(args)
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume=False)
    evaluators = [
        PersonSearchEvaluator(
            name,
            score_thresh=cfg.TEST.SEARCH.SCORE_THRESH,
            output_dir=os.path.join(cfg.OUTPUT_DIR, "inference", name, "untrained"),
        )
        for name in cfg.DATASETS.TEST
    ]
    Trainer.test(cfg, trainer.checkpointer.model.eval(), evaluators)


if __name__ == "__main__":
    sys.exit(main())

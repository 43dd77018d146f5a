"""The command in a process that kills itself with SIGKILL, as a power cut would."""

import os
import signal

from fully_decoupled_ps.engine.trainer import Trainer
from fully_decoupled_ps.site_training import stages
from person_search.cli.main import main


def train_until(output, stage, iteration, *args):
    """``person-search train`` until an iteration of a stage, or the ``iteration``-th evaluation."""
    run_step, test = Trainer.run_step, stages.SiteTrainer.test
    evaluations = 0

    def step(self):
        # not the steps that are tried in a folder of their own
        if self.cfg.OUTPUT_DIR == os.path.join(output, stage) and self.iter == iteration:
            os.kill(os.getpid(), signal.SIGKILL)
        run_step(self)

    def evaluate(cfg, model):
        nonlocal evaluations
        results = test(cfg, model)
        if stage == "evaluation" and evaluations == iteration:
            os.kill(os.getpid(), signal.SIGKILL)
        evaluations += 1
        return results

    Trainer.run_step, stages.SiteTrainer.test = step, evaluate
    main(list(map(str, args)))

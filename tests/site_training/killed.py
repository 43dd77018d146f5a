"""The command in a process that kills itself with SIGKILL, as a power cut would."""

import os
import signal

from fully_decoupled_ps.engine.trainer import Trainer
from fully_decoupled_ps.site_training import stages
from person_search.cli.main import main
from tests.modeling import crop_networks  # noqa: F401 - registers the networks of tests


def train_until(output, stage, iteration, *args):
    """``person-search train`` until an iteration of a stage, or until a first evaluation ends."""
    run_step, test = Trainer.run_step, stages.SiteTrainer.test

    def step(self):
        # not the steps that are tried in a folder of their own
        if self.cfg.OUTPUT_DIR == os.path.join(output, stage) and self.iter == iteration:
            os.kill(os.getpid(), signal.SIGKILL)
        run_step(self)

    def evaluate(cfg, model):
        results = test(cfg, model)
        if stage == "evaluation" and results:  # of no test set at the end of a stage
            os.kill(os.getpid(), signal.SIGKILL)
        return results

    Trainer.run_step, stages.SiteTrainer.test = step, staticmethod(evaluate)
    main(list(map(str, args)))

#!/usr/bin/env python
"""Train and evaluate the fully decoupled person search network.

python train_net.py --config-file F                                 trains the detector
python train_net.py --config-file F SOLVER.STAGE reid               then the re-id side-net
python train_net.py --config-file F SOLVER.STAGE hybrid             or both, from that detector
python train_net.py --config-file F SOLVER.STAGE joint              or both from the start
python train_net.py --config-file F SOLVER.STAGE detached           the same, f_d by its own losses
python train_net.py --config-file F --eval-only SOLVER.STAGE reid   evaluates the last checkpoint

With --num-gpus N, or under torchrun (also on a CPU), each of these in several processes.
"""

from fully_decoupled_ps.train_net import Trainer, main, run, setup

__all__ = ["Trainer", "main", "setup"]  # for scripts that import this one

if __name__ == "__main__":
    run()

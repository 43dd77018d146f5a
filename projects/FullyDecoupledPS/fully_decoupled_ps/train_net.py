"""Train and evaluate the fully decoupled person search network.

``python train_net.py``, and wherever the package is installed ``python -m
fully_decoupled_ps.train_net``, with the same arguments.
"""

from detectron2.engine import default_argument_parser, default_setup
from detectron2.evaluation import verify_results
from detectron2.utils import comm

from .checkpoint import load_parts
from .config import apply_stage, find_config, load_config
from .engine.check_config import check_config
from .engine.launch import launch
from .engine.log_file import log_begun_after
from .engine.precision import settle_precision
from .engine.trainer import Trainer
from .modeling.inference_form import prepare_for_inference
from .ready import fetch_into
from .utils.allocator import keep_large_buffers
from .utils.files import tell_unwritable


def device_of(args):
    """Where the network will be."""
    return load_config(args.config_file, args.opts).MODEL.DEVICE


def setup(args):
    """The checked and frozen config of one run."""
    cfg = load_config(args.config_file, args.opts)
    if args.config_file:
        args.config_file = find_config(args.config_file)  # default_setup reads it too
    apply_stage(cfg, args.opts, eval_only=args.eval_only, resume=args.resume)
    # what the loaders count and find odd belongs into the log
    with log_begun_after(cfg.OUTPUT_DIR):
        cfg.MODEL.REID.NUM_IDS = check_config(cfg, eval_only=args.eval_only, resume=args.resume)
        settle_precision(cfg, resume=args.resume, eval_only=args.eval_only)
        fetch_into(cfg, args.config_file)
    cfg.freeze()
    if cfg.MODEL.DEVICE == "cpu":
        keep_large_buffers()
    with tell_unwritable(cfg.OUTPUT_DIR):
        default_setup(cfg, args)
    return cfg


def main(args):
    cfg = setup(args)
    if args.eval_only:
        model = Trainer.build_model(cfg)
        load_parts(model, cfg)
        prepare_for_inference(model, cfg)
        results = Trainer.test(cfg, model)
        if comm.is_main_process():
            verify_results(cfg, results)
        return results
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume=args.resume)
    return trainer.train()


def run() -> None:
    """The command."""
    launch(main, default_argument_parser().parse_args(), device_of)


if __name__ == "__main__":
    run()

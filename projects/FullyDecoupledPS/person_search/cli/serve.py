"""Search an index on a local web page: browse frames, choose a person, follow the hits.

The page is served to this machine alone, at http://127.0.0.1:7860, unless --host says otherwise.
Pictures of one's own can be searched where the network is that made the index; without it
everything else works. The index may be written to meanwhile. Requests by other host names, and
those of other web pages, are refused.
"""

import argparse
import logging
import os

from ..errors import UserError
from ..index import open_index
from .common import add_index_argument, add_model_arguments, add_page_arguments

HELP = "search an index on a local web page"

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_index_argument(parser)
    add_page_arguments(parser)
    add_model_arguments(parser)


def run(args: argparse.Namespace) -> int:
    # Gradio reads these when it is imported: no telemetry
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    try:
        import gradio  # noqa: F401
    except ImportError as error:
        raise UserError(
            f'the search page needs the package gradio ({error}): pip install "gradio>=6.31,<7"'
        ) from error
    from ..web.listening import bind
    from ..web.server import serve
    from ..web.service import SearchService

    with open_index(args.index) as index, bind(args.host, args.port) as bound:
        network, reason = _load_network(args, index)
        service = SearchService(index, network, reason)
        serve(service, bound, args.host, browser=args.open, names=args.name)
    return 0


def _load_network(args: argparse.Namespace, index):
    """The network, or None and why; a UserError if an option asked for one that can't be used."""
    from ..network import choose_network, load_network

    try:
        chosen = choose_network(args.model, args.weights, index.info)
        network = load_network(*chosen, args.device, args.models_dir, index.info.precision)
        index.check_model(network.fingerprint)
    except UserError as error:
        if args.model or args.weights or args.device or args.models_dir:
            raise
        logger.warning("Own pictures can't be searched: %s", error)
        return None, f"Own pictures can't be searched on this page: {error}"
    return network, ""

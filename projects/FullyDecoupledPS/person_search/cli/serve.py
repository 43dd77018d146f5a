"""Search an index on a local web page: browse frames, choose a person, follow the hits.

The page is served to this machine alone, at http://127.0.0.1:7860, unless --host says otherwise.
Pictures of one's own can be searched where the network is that made the index; without it
everything else works. The index may be written to meanwhile. Requests by other host names, and
those of other web pages, are refused.
"""

import argparse
import logging
import os

from fully_decoupled_ps.utils.arguments import whole_number

from ..errors import UserError
from ..index import open_index
from .common import add_index_argument, add_model_arguments

HELP = "search an index on a local web page"

logger = logging.getLogger(__name__)

DEFAULT_PORT = 7860


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_index_argument(parser)
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to serve at (default 127.0.0.1: this machine alone); there is no login",
    )
    parser.add_argument(
        "--name",
        action="append",
        default=[],
        help="host name in the browser's address where it is another, such as a proxy's; may be "
        "given several times",
    )
    parser.add_argument(
        "--port",
        type=whole_number(0, 65535),
        default=DEFAULT_PORT,
        help=f"default {DEFAULT_PORT}; 0: any that is free",
    )
    parser.add_argument("--open", action="store_true", help="open a browser")
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
        network = load_network(*chosen, args.device, args.models_dir)
        index.check_model(network.fingerprint)
    except UserError as error:
        if args.model or args.weights or args.device or args.models_dir:
            raise
        logger.warning("Own pictures can't be searched: %s", error)
        return None, f"Own pictures can't be searched on this page: {error}"
    return network, ""

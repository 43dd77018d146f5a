"""List the ready networks, which need no training, and download their files.

  person-search models                      what there is, and whether it is on this machine
  person-search models --fetch osnet-ain    download what is missing, and check all of it

`index` downloads what it needs by itself. What was cut off goes on from where it was. Where there
is no internet, get the files on another machine, by the addresses that --json prints, and put them
into the folder. The licence is that of the weights, as their publisher states it; the data that
they were trained on may have terms of their own, and some of it was given out for research alone.
For a network of your own, start from one of the yamls that --json names.
"""

import argparse
import json
import logging
import shutil
import textwrap

HELP = "list the ready networks, and download their files"

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from .common import add_models_dir_argument

    parser.add_argument(
        "--fetch", nargs="+", default=[], metavar="NAME", help="download these, and check them"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a list")
    add_models_dir_argument(parser)


def run(args: argparse.Namespace) -> int:
    from fully_decoupled_ps import ready

    folder = ready.models_folder(args.models_dir)
    networks = [ready.named_network(name) for name in args.fetch]
    if not networks:
        networks = ready.ready_networks()
        records = [_record(network, folder) for network in networks]
        print(json.dumps(records, indent=2) if args.json else _listed(records, folder))
        return 0
    for network in networks:
        ready.fetch(network, folder, thorough=True)
        logger.info("%s is here: its files are in %s", network.name, folder)
    if args.json:
        print(json.dumps([_record(network, folder) for network in networks], indent=2))
    return 0


def _record(network, folder: str) -> dict:
    from fully_decoupled_ps import ready

    parts = {"detector": network.detector, "re-id": network.crop_reid}
    return {
        "name": network.name,
        "default": network.name == ready.DEFAULT_NETWORK,
        "use": network.use,
        "here": network.is_here(folder),
        "folder": folder,
        "config": str(network.config),
        "parts": {
            role: {
                "network": part.kind,
                "address": part.weights,
                "file": part.file.name,
                "bytes": part.bytes or None,
                "sha256": part.sha256 or None,
                "licence": part.licence or None,
                "data": part.data or None,
            }
            for role, part in parts.items()
        },
    }


def _listed(records: list[dict], folder: str) -> str:
    width = min(shutil.get_terminal_size().columns, 80)
    lines = []
    for record in records:
        default = ", the default" if record["default"] else ""
        here = "here" if record["here"] else "not here yet"
        lines.append(f"{record['name']} ({here}{default})")
        described = {"use": record["use"]}
        for role, part in record["parts"].items():
            size = f"{part['bytes'] / 1e6:.0f} MB" if part["bytes"] else "size not known"
            network = part["network"].rpartition("/")[2].removesuffix(".yaml")
            described[role] = (
                f"{network}, {size}; licence {part['licence'] or 'not known'}; "
                f"trained on {part['data'] or 'data that are not known'}"
            )
        for role, text in described.items():
            indents = {"initial_indent": f"  {role:<10}", "subsequent_indent": " " * 12}
            lines += textwrap.wrap(text, width, **indents)
        lines.append("")
    lines.append(f"Folder of the files: {folder}")
    return "\n".join(lines)

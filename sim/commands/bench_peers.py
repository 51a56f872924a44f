"""The command `moesaic bench-peers`."""

from __future__ import annotations

import argparse
from pathlib import Path

_CONFIGURATIONS = ("tiny", "zcu104")


class BenchPeersCommand:
    """The same int8 layers on NNgen's accelerators and on this project's, simulated and synthesised by the same tools."""

    name = "bench-peers"
    help = "compare with NNgen, layer by layer, on the same simulator (make bench-peers makes its environment)"

    @staticmethod
    def configure(parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--python", type=Path, help="Python of an environment with NNgen; without it, only moesaic runs"
        )
        parser.add_argument(
            "--parallelism",
            nargs="+",
            metavar="INxOUT",
            help="NNgen's channels at once, in and out (default: two or three sizes for each layer, 8 to 72 multipliers)",
        )
        parser.add_argument(
            "--config",
            nargs="*",
            default=list(_CONFIGURATIONS),
            help=f"configurations (default {' '.join(_CONFIGURATIONS)})",
        )
        parser.add_argument("--no-synthesis", action="store_true", help="leave out resources")
        parser.add_argument("--output", type=Path, default=Path("build/peers"), help="directory to write")

    @staticmethod
    def run(arguments: argparse.Namespace) -> int:
        import json

        from rich.console import Console

        from moesaic.errors import UserError
        from moesaic.files import require_writable, write_file
        from moesaic.pages.terminal import print_table
        from moesaic.sim.machines.simulated_executors import require_tools
        from moesaic.sim.machines.verilator import find_verilator
        from moesaic.sim.measurements.peers import peers_page
        from moesaic.sim.measurements.peers.comparison import Entry, measure_nngen, measure_ours
        from moesaic.sim.measurements.peers.layers import LAYERS, nngen_parallelism
        from moesaic.sim.measurements.synthesis import yosys
        from moesaic.spec.configuration import load_configuration

        pairs = [_channels(words) for words in arguments.parallelism or []]
        configurations = [load_configuration(name) for name in arguments.config]
        require_tools(["rtl"])
        require_writable(arguments.output)
        console = Console()
        synthesise = not arguments.no_synthesis
        versions = {"Verilator": find_verilator().version} | ({"Yosys": yosys.version()} if synthesise else {})
        entries: list[Entry] = []

        def say(line: str) -> None:
            console.print(line, soft_wrap=True, highlight=False, markup=False)

        def write() -> None:
            place = {layer.name: number for number, layer in enumerate(LAYERS)}
            entries.sort(key=lambda entry: place[entry.layer])
            found = json.dumps(peers_page.document(entries, LAYERS, versions), indent=1) + "\n"
            write_file(arguments.output / "peers.json", found.encode())
            write_file(arguments.output / "peers.md", peers_page.peers_markdown(entries, versions).encode())
            write_file(arguments.output / "index.html", peers_page.peers_html(entries, versions).encode())

        for configuration in configurations:
            entries += measure_ours(LAYERS, configuration, synthesise, say)
            write()
        for layer in LAYERS if arguments.python else ():
            for inputs, outputs in pairs or nngen_parallelism(layer):
                entry, versions["NNgen"] = measure_nngen(arguments.python, layer, inputs, outputs, synthesise, say)
                entries.append(entry)
                write()
        print_table(console, peers_page.cycles_table(entries), "cycles and multipliers")
        print_table(console, peers_page.resources_table(entries), "resources by open synthesis")
        say(f"written: {arguments.output / 'peers.json'}, peers.md and index.html")
        for line in peers_page.missed(entries):
            say(f"missed: {line}")
        wrong = sum(entry.mismatches for entry in entries)
        if wrong:
            raise UserError(f"{wrong:,} results are not numpy's; see {arguments.output / 'peers.json'}")
        return 0


def _channels(words: str) -> tuple[int, int]:
    from moesaic.errors import UserError

    parts = words.split("x")
    if len(parts) != 2 or not all(part.isdecimal() and int(part) for part in parts):
        raise UserError(f"--parallelism {words}: it has to be two numbers above 0, as in 8x8")
    return int(parts[0]), int(parts[1])

"""Break the RTL in one place at a time and see what notices: `python -m tests.verify.mutation`, or `make mutants`.

Writes build/verify/mutants.json and mutants.md; results of mutants are kept beside them, so that a campaign resumes.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from rich.console import Console

from moesaic.argument_types import positive
from moesaic.campaign.kept_results import keep_result
from moesaic.campaign.options import add_worker_options, chosen_workers
from moesaic.errors import UserError
from moesaic.files import write_file
from tests.verify.mutation.campaign import judge
from tests.verify.mutation.designs import SOURCES, Design, designs
from tests.verify.mutation.listed import chosen_listed
from tests.verify.mutation.report import Judged, as_json, as_markdown, share

_OUTPUT = Path("build") / "verify"


def arguments(words: list[str]) -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m tests.verify.mutation", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these mutants of the list in listed.toml")
    parser.add_argument("--mutants", type=positive, default=1000, help="how many to sample, by source (default 1000)")
    parser.add_argument("--seed", type=int, default=1, help="of the samples (default 1)")
    parser.add_argument("--source", action="append", choices=SOURCES, help="where from; may be repeated (default all)")
    parser.add_argument(
        "--seconds", type=positive, help="begin no mutant after so long; the next run goes on from there"
    )
    parser.add_argument("--output", type=Path, default=_OUTPUT, help=f"directory of results (default {_OUTPUT})")
    add_worker_options(parser)
    return parser.parse_args(words)


def main(words: list[str]) -> int:
    """Run the campaign; 1 if a listed mutant survives, else 0."""
    chosen = arguments(words)
    console = Console()
    wanted: list[Design] = []
    for source in ["listed"] if chosen.names else chosen.source or SOURCES:
        wanted += designs(source, chosen.mutants, chosen.seed)
    named = {mutant.name for mutant in chosen_listed(chosen.names)}
    numbers = [
        [
            number
            for number, mutant in design.mutants().items()
            if design.source != "listed" or mutant.title.split(":")[0] in named
        ]
        for design in wanted
    ]
    began, judged = time.monotonic(), list[Judged]()
    for each in judge(wanted, numbers, chosen_workers(chosen), chosen.output / "mutants", console):
        judged.append(each)
        if each.source == "listed":
            noticed = f"{each.by}: {each.how}" if each.fate == "killed" else f"[red]{each.fate.upper()}[/red]"
            console.print(f"{each.mutant.title}\n    {noticed}", highlight=False)
        if chosen.seconds and time.monotonic() - began > chosen.seconds:
            break
    keep_result(chosen.output / "mutants.json", as_json(judged))
    write_file(chosen.output / "mutants.md", as_markdown(judged).encode())
    counts = as_json(judged)
    console.print(
        f"{counts['run']} mutants: {counts['killed']} killed, {counts['equivalent']} equivalent, "
        f"{counts['argued']} argued, {len(counts['survived'])} survived; "
        f"{share(judged):.1f} % of those not equivalent; {chosen.output / 'mutants.md'}",
        highlight=False,
    )
    return int(any(each.fate == "survived" and each.source == "listed" for each in judged))


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except UserError as error:
        sys.exit(f"error: {error}")

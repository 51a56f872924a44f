"""Run what has no result yet of every part, and write build/verify/report.json and the table of docs/verification.md."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from rich.console import Console

from moesaic.campaign.kept_results import keep_result
from moesaic.campaign.options import add_worker_options
from moesaic.files import write_file
from tests.verify.parts import PARTS
from tests.verify.report import collect, failures, figures_table, with_figures

ROOT = Path(__file__).parents[2]
VERIFY, PAGE = ROOT / "build" / "verify", ROOT / "docs" / "verification.md"


def main(words: list[str]) -> int:
    """The command: exit status 0 if every part ran and nothing failed, 1 otherwise."""
    parser = argparse.ArgumentParser(prog="python -m tests.verify", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"only these of {', '.join(PARTS)}")
    parser.add_argument("--report", action="store_true", help="run nothing: write the report of what has been run")
    add_worker_options(parser, default=2)
    arguments = parser.parse_args(words)
    if unknown := [name for name in arguments.parts if name not in PARTS]:
        parser.error(f"unknown part {unknown[0]!r}: choose {', '.join(PARTS)}")
    console, ended = Console(), dict[str, int]()
    for name in () if arguments.report else arguments.parts or PARTS:
        part = PARTS[name]
        options = ["--cluster", arguments.cluster] if arguments.cluster else ["--workers", str(arguments.workers)]
        console.rule(name)
        command = [sys.executable, "-m", part.module, *options]
        ended[name] = subprocess.run(command, cwd=ROOT, check=False).returncode
    report = collect(VERIFY)
    keep_result(VERIFY / "report.json", report)
    write_file(PAGE, with_figures(PAGE.read_text(encoding="utf-8"), report).encode())
    console.print(figures_table(report), highlight=False, markup=False)
    wrong = [*failures(report), *(f"{name}: exit status {status}" for name, status in ended.items() if status)]
    for line in wrong:
        console.print(line, style="red", highlight=False)
    console.print(f"report: {VERIFY / 'report.json'}", soft_wrap=True)
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

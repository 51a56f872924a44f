"""The command `moesaic results`."""

from __future__ import annotations

import argparse
from pathlib import Path

from moesaic.campaign.options import add_worker_options, chosen_workers


class ResultsCommand:
    """Makes the runs behind docs/results.md, and writes that page."""

    name = "results"
    help = "train and measure what docs/results.md shows, as far as it is missing, and write that page"

    @staticmethod
    def configure(parser: argparse.ArgumentParser) -> None:
        add_worker_options(parser, default=2)
        parser.add_argument("--output", type=Path, default=Path("build/results"), help="where runs are kept")
        parser.add_argument(
            "--page",
            type=Path,
            help="what to write (default: docs/results.md of a checkout, else results.md in DIRECTORY)",
        )

    @staticmethod
    def run(arguments: argparse.Namespace) -> int:
        from rich.console import Console

        from moesaic.campaign.kept_results import keep_result
        from moesaic.installation import checkout
        from moesaic.model.experiments.expert_timing import measure_once
        from moesaic.model.experiments.results_page import write_page
        from moesaic.model.experiments.results_study import execute_all
        from moesaic.model.experiments.timing_settings import TimingSettings

        console, root = Console(), checkout()
        page = arguments.page or (root / "docs" if root else arguments.output) / "results.md"
        results = execute_all(arguments.output, chosen_workers(arguments), console)
        keep_result(arguments.output / "results.json", results)
        # Timed last, when training has finished.
        write_page(page, results, measure_once(TimingSettings(), arguments.output, console))
        console.print(f"results: {page}", soft_wrap=True)
        return 0

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
        less = parser.add_mutually_exclusive_group()
        less.add_argument(
            "--partial", action="store_true", help="write the page from the runs that are done, and run none"
        )
        less.add_argument(
            "--plan", action="store_true", help="show all runs, how many are done and how long the rest may take"
        )

    @staticmethod
    def run(arguments: argparse.Namespace) -> int:
        from rich.console import Console

        from moesaic.campaign.kept_results import keep_result
        from moesaic.installation import checkout
        from moesaic.model.experiments.expert_timing import kept, measure_once
        from moesaic.model.experiments.published_runs import publish, take_published
        from moesaic.model.experiments.results_page import write_page
        from moesaic.model.experiments.results_plan import plan_table
        from moesaic.model.experiments.results_records import gather
        from moesaic.model.experiments.results_study import execute_all
        from moesaic.model.experiments.timing_settings import TimingSettings
        from moesaic.pages.terminal import print_table

        console, root, settings = Console(), checkout(), TimingSettings()
        page = arguments.page or (root / "docs" if root else arguments.output) / "results.md"
        if taken := take_published(page, arguments.output):
            console.print(f"{taken} runs taken from those published with {page.name}", highlight=False)
        if arguments.plan:
            print_table(console, plan_table(arguments.output), "make results")
            return 0
        if arguments.partial:
            study, experts = gather(arguments.output), kept(settings, arguments.output)
        else:
            study = execute_all(arguments.output, chosen_workers(arguments), console)
            keep_result(arguments.output / "results.json", [*study.runs.values()])
            # Timed last, when training has finished.
            experts = measure_once(settings, arguments.output, console)
        publish(page, arguments.output)
        write_page(page, study, experts)
        console.print(f"results: {page}", soft_wrap=True)
        return 0

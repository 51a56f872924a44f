"""The options of commands that run a campaign."""

from __future__ import annotations

import argparse

from moesaic.argument_types import positive
from moesaic.campaign.workers import OpenWorkers, cluster, in_this_process, local_processes


def add_worker_options(parser: argparse.ArgumentParser, default: int = 1) -> None:
    """Add --workers and --cluster. default: of the number of processes."""
    group = parser.add_mutually_exclusive_group()
    group.add_argument(
        "--workers",
        type=positive,
        default=default,
        metavar="COUNT",
        help=f"processes of this machine that run cases side by side (default {default})",
    )
    group.add_argument(
        "--cluster",
        metavar="ADDRESS",
        help="instead: the workers of the Dask scheduler at this address, such as tcp://10.0.0.2:8786",
    )


def chosen_workers(arguments: argparse.Namespace) -> OpenWorkers:
    """What the options of a command line ask for. A single worker is this process."""
    if arguments.cluster:
        return cluster(arguments.cluster)
    return in_this_process() if arguments.workers == 1 else local_processes(arguments.workers)

"""Estimates of configurations as a campaign, so that several processes make them."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator, Sequence

from rich.console import Console

from moesaic.campaign.campaign import run_campaign
from moesaic.campaign.case import Case
from moesaic.campaign.kept_results import content_key
from moesaic.campaign.workers import OpenWorkers
from moesaic.hls.compiler.exploration import Estimated, Estimates, Frame, encoder_cycles
from moesaic.spec.configuration import HardwareConfiguration


def estimates_by(workers: OpenWorkers, console: Console) -> Estimates:
    """Estimates made by these workers; none is kept, as they depend on how much time there is. console: shows progress."""

    def estimates(
        configurations: Iterable[HardwareConfiguration], frames: Sequence[Frame], hurry: bool
    ) -> Iterator[Estimated]:
        cases = (
            Case(content_key(each.to_dict()), each.array, cycles, (each, frames, hurry)) for each in configurations
        )
        for outcome in run_campaign(cases, workers, kept=None, console=console, title="estimates"):
            yield outcome.case.arguments[0], outcome.error or tuple(outcome.result)

    return estimates


def cycles(configuration: HardwareConfiguration, frames: Sequence[Frame], hurry: bool) -> list[float]:
    """See `encoder_cycles`."""
    # Programs are many thousands of small objects without reference cycles.
    gc.disable()
    try:
        return list(encoder_cycles(configuration, frames, hurry))
    finally:
        gc.enable()

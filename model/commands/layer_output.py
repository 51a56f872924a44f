"""What commands print about the layers of an integer network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from moesaic.model.evaluation.expert_bits import bytes_table, choice_table
from moesaic.model.evaluation.layer_figures import LayerFigures, layer_table, layer_warnings
from moesaic.pages.terminal import print_table

if TYPE_CHECKING:
    from rich.console import Console

    from moesaic.model.quantisation.measured_bits import MeasuredBits
    from moesaic.spec.bundle import Architecture, Task


def print_layers(console: Console, figures: Mapping[str, LayerFigures]) -> None:
    """Print the figures of all layers as a table, and a warning for each kind of trouble."""
    print_table(console, layer_table(figures), "integers against float, dB of signal to noise by layer")
    for warning in layer_warnings(figures):
        console.print(f"warning: {warning}", style="yellow", soft_wrap=True)


def print_expert_bits(
    console: Console, architecture: Architecture, tasks: Mapping[str, Task], measured: MeasuredBits | None
) -> None:
    """Print what experts of 4 bits save, and what they were chosen by if that was measured; nothing if all weights have 8 bits."""
    if measured is not None:
        print_table(console, choice_table(architecture, measured), "bits of experts by their sensitivity")
    if architecture.four_bit_experts:
        print_table(console, bytes_table(architecture, tasks), "bytes over DRAM a frame")

"""What commands print about the layers of an integer network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from moesaic.model.evaluation.layer_figures import LayerFigures, layer_table, layer_warnings
from moesaic.pages.terminal import print_table

if TYPE_CHECKING:
    from rich.console import Console


def print_layers(console: Console, figures: Mapping[str, LayerFigures]) -> None:
    """Print the figures of all layers as a table, and a warning for each kind of trouble."""
    print_table(console, layer_table(figures), "integers against float, dB of signal to noise by layer")
    for warning in layer_warnings(figures):
        console.print(f"warning: {warning}", style="yellow", soft_wrap=True)

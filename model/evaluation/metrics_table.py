"""The tasks' metrics as a table for the terminal."""

from rich.console import Console
from rich.table import Table


def show_metrics(metrics: dict[str, dict], console: Console) -> None:
    """Print each task's metric in float and, where it was measured, in integers.

    metrics: by task or pathway, as `moesaic.model.evaluation.evaluate.compare` gives them.
    """
    table = Table("task", "metric", "float", "integer", title="accuracy on held-out images")
    for task, values in metrics.items():
        arrow = "↑" if values["higher_is_better"] else "↓"
        figures = (f"{values[network]:.4f}" if network in values else "–" for network in ("float", "integer"))
        table.add_row(task, f"{values['metric']} {arrow}", *figures)
    console.print(table)

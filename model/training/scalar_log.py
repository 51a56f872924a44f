"""A run's curves: losses, learning rate, expert loads, validation metrics, for TensorBoard and as a file."""

import csv
import json
import math
from pathlib import Path
from typing import Protocol

import numpy as np

from moesaic.errors import UserError
from moesaic.files import require_file_writable, require_writable, write_file, writing
from moesaic.model.network.vit import M3ViT
from moesaic.model.pathways.usage import measure_usage

TABLE_SUFFIXES = (".csv", ".jsonl")
_COLUMNS = ("step", "group", "name", "value")


class _Writer(Protocol):
    def add(self, group: str, values: dict[str, float], step: int) -> None: ...
    def close(self) -> None: ...


class _TensorBoard:
    def __init__(self, directory: Path, first_step: int) -> None:
        require_writable(directory)
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise UserError(
                "TensorBoard is not installed: pip install tensorboard, or leave --tensorboard out"
            ) from None
        self._writer = SummaryWriter(str(directory), purge_step=first_step)

    def add(self, group: str, values: dict[str, float], step: int) -> None:
        for name, value in values.items():
            self._writer.add_scalar(f"{group}/{name}", value, step)

    def close(self) -> None:
        self._writer.close()


class _Table:
    """A file with a line for each value, in the order of the steps. A line that an interrupted run left for a later step goes."""

    def __init__(self, path: Path, first_step: int) -> None:
        self._path = path
        require_file_writable(path)
        kept = [row for row in _read_table(path) if row["step"] <= first_step] if first_step else []
        write_file(path, b"" if path.suffix == ".jsonl" else (",".join(_COLUMNS) + "\n").encode())
        with writing(path):
            self._file = open(path, "a", encoding="utf-8", newline="")  # noqa: SIM115 (closed by `close`)
        self._rows(kept)

    def add(self, group: str, values: dict[str, float], step: int) -> None:
        self._rows([{"step": step, "group": group, "name": name, "value": value} for name, value in values.items()])

    def _rows(self, rows: list[dict]) -> None:
        with writing(self._path):
            if self._path.suffix == ".csv":
                csv.DictWriter(self._file, _COLUMNS, lineterminator="\n").writerows(rows)
            else:
                for row in rows:
                    value = row["value"] if math.isfinite(row["value"]) else None  # JSON has no NaN
                    self._file.write(json.dumps({**row, "value": value}) + "\n")
            self._file.flush()

    def close(self) -> None:
        self._file.close()


def _read_table(path: Path) -> list[dict]:
    """The lines of a log, as far as they are whole; none of a file that is missing. UserError if it is no log."""
    if not path.is_file():
        return []
    with open(path, encoding="utf-8", newline="") as file:
        lines = [line for line in file if line.endswith("\n")]
    try:
        rows = list(csv.DictReader(lines)) if path.suffix == ".csv" else [json.loads(line) for line in lines]
        return [
            {**row, "step": int(row["step"]), "value": float("nan" if row["value"] is None else row["value"])}
            for row in rows
        ]
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{path} is no log of `moesaic train`: name another file, or delete it") from None


class ScalarLog:
    """Scalars by step, logged to a directory for TensorBoard, to a table, or to both; without either it is falsy and does nothing.

    table: a file that ends in .csv or .jsonl, with a line for each value: step, group, name, value (NaN is null in JSON). first_step:
    hide what an interrupted run left for later steps. writes: whether this process writes; only one of several ranks should. UserError
    if a place is not writable, the file has another suffix, or TensorBoard is not installed.
    """

    def __init__(
        self, directory: Path | None, first_step: int = 0, writes: bool = True, table: Path | None = None
    ) -> None:
        self._writers: list[_Writer] = []
        self._wanted = directory is not None or table is not None
        if table is not None and table.suffix not in TABLE_SUFFIXES:
            raise UserError(
                f"a log is called {' or '.join(f'NAME{suffix}' for suffix in TABLE_SUFFIXES)}, not {table.name}"
            )
        if not writes:
            return
        if directory is not None:
            self._writers.append(_TensorBoard(directory, first_step))
        if table is not None:
            self._writers.append(_Table(table, first_step))

    def __bool__(self) -> bool:
        return self._wanted

    def add(self, group: str, values: dict[str, float], step: int) -> None:
        """Log values by name, shown together under `group`."""
        for writer in self._writers:
            writer.add(group, values, step)

    def close(self) -> None:
        for writer in self._writers:
            writer.close()


def largest_expert_loads(model: M3ViT, images: np.ndarray) -> dict[str, float]:
    """By task and MoE block: the largest share of choices that any expert gets, times the number of experts; 1 if all are equal.

    images: uint8 [B, h, w, 3]. Measured in evaluation mode, so that batch norms do not change; the model's mode is restored.
    """
    training = model.training
    usage = measure_usage(model.eval(), images)
    model.train(training)
    return {
        f"{task}/block {i}": float(of_block.share.max() * len(of_block.share))
        for task, blocks in usage.items()
        for i, of_block in blocks.items()
    }

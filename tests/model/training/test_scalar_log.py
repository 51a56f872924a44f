"""A run's curves as a table: what it holds, and that a resumed run continues it."""

import csv
import json

import pytest

from moesaic.errors import UserError
from moesaic.model.training.scalar_log import ScalarLog


def rows_of(path):
    if path.suffix == ".csv":
        return [{**row, "step": int(row["step"]), "value": float(row["value"])} for row in csv.DictReader(path.open())]
    return [json.loads(line) for line in path.read_text().splitlines()]


def write(path, steps, first_step=0, **options):
    log = ScalarLog(None, first_step, table=path, **options)
    for step in steps:
        log.add("loss", {"depth": step / 4, "seg, parts": float(step)}, step)
    log.close()
    return log


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_every_value_has_a_line_and_a_resumed_run_goes_on(tmp_path, suffix):
    path = tmp_path / "new" / f"log{suffix}"
    assert write(path, [1, 2])
    rows = rows_of(path)
    assert rows[0] == {"step": 1, "group": "loss", "name": "depth", "value": 0.25}
    assert [(row["step"], row["name"]) for row in rows] == [(s, n) for s in (1, 2) for n in ("depth", "seg, parts")]
    write(path, [3, 4, 5])
    assert [row["step"] for row in rows_of(path)] == [3, 3, 4, 4, 5, 5]  # a new run begins anew
    with path.open("a") as file:
        file.write('{"step": 6, "gro')  # the machine was switched off
    write(path, [4, 5], first_step=3)
    assert [row["step"] for row in rows_of(path)] == [3, 3, 4, 4, 5, 5]


def test_what_is_not_a_number_is_null_in_json(tmp_path):
    log = ScalarLog(None, table=tmp_path / "log.jsonl")
    log.add("metric", {"depth": float("nan")}, 7)
    log.close()
    assert rows_of(tmp_path / "log.jsonl") == [{"step": 7, "group": "metric", "name": "depth", "value": None}]
    write(tmp_path / "log.jsonl", [9], first_step=8)
    assert [row["value"] for row in rows_of(tmp_path / "log.jsonl")] == [None, 2.25, 9.0]


def test_only_one_rank_writes_and_mistakes_are_named(tmp_path):
    assert write(tmp_path / "log.csv", [1], writes=False) and not list(tmp_path.iterdir())
    assert not ScalarLog(None)
    with pytest.raises(UserError, match=r"a log is called NAME.csv or NAME.jsonl, not log.txt"):
        ScalarLog(None, table=tmp_path / "log.txt")
    (tmp_path / "other.jsonl").write_text("[1]\n")
    with pytest.raises(UserError, match=r"other.jsonl is no log of `moesaic train`: name another file"):
        ScalarLog(None, 3, table=tmp_path / "other.jsonl")

"""The figures of the study's runs, published beside its page: whoever has them need not train those runs again.

One JSON object, a line for each run: key of `moesaic.model.experiments.results_records` to what `results_study.execute` or
`measure_further` returned. A key depends on the whole recipe and on the version of what is measured, so a change of either leaves a run
out. Metrics of another machine may differ by rounding; seconds are of the machine that trained.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from moesaic.campaign.kept_results import keep_result, read_result
from moesaic.errors import UserError
from moesaic.files import read_json, write_file
from moesaic.model.experiments.results_design import SETTINGS, SeededRun, names_in
from moesaic.model.experiments.results_records import further_key, run_key

_ENTRIES = {"name": str, "seed": int, "factor": float, "float": dict}


def published_beside(page: Path) -> Path:
    """The file of the figures of a page."""
    return page.with_suffix(".json")


def take_published(page: Path, directory: Path) -> int:
    """Keep the published results of the study that `directory` lacks; returns how many those are.

    UserError if the file is there and holds anything but results of runs, or if `directory` is not writable.
    """
    taken = 0
    for key, result in _published(page).items():
        kept = directory / f"{key}.json"
        if read_result(kept) is None and _is_of_the_study(key, result):
            keep_result(kept, result)
            taken += 1
    return taken


def publish(page: Path, directory: Path) -> None:
    """Write all results of the study that `directory` has beside the page. UserError if they cannot be written."""
    lines = [
        f"{json.dumps(path.stem)}: {json.dumps(result)}"
        for path in sorted(directory.glob("*.json"))
        if _is_result(result := read_result(path)) and _is_of_the_study(path.stem, result)
    ]
    write_file(published_beside(page), ("{\n" + ",\n".join(lines) + "\n}\n").encode())


def _is_result(value: Any) -> bool:
    return isinstance(value, dict) and all(type(value.get(entry)) is kind for entry, kind in _ENTRIES.items())


def _is_of_the_study(key: str, result: dict) -> bool:
    """Whether the key is the one that the result's run has at present."""
    if not any(result["name"] in names_in(setting) for setting in (None, *SETTINGS)):
        return False
    run = SeededRun(result["name"], result["seed"], result["factor"])
    return key in (run_key(run), further_key(run))


def _published(page: Path) -> dict[str, dict]:
    path, remedy = published_beside(page), "take its own copy, or delete it"
    if not path.is_file():
        return {}
    found = read_json(path, remedy)
    if not isinstance(found, dict):
        raise UserError(f"{path} holds no results by run: {remedy}")
    for key, result in found.items():
        if not _is_result(result):
            raise UserError(f"{path}: {key} is no result of a run: {remedy}")
    return found

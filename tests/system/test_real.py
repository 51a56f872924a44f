"""`make real` on a tiny published network: what it writes, what a second run does not do again, and that a difference fails it."""

from __future__ import annotations

import dataclasses
import io
import json
import math
from pathlib import Path

import pytest
import torch
from rich.console import Console

from moesaic.errors import InternalError
from moesaic.model.experiments.real.edits import EDITS
from moesaic.model.experiments.real.photographs import MATERIALS, MEASURED
from moesaic.sim.measurements.real import frames
from moesaic.sim.measurements.real.real import Real
from moesaic.spec.configuration import load_configuration
from tests.model.experiments.real.published import RECIPE, write_published


def real(directory: Path) -> tuple[Real, io.StringIO]:
    torch.set_num_threads(1)
    text = io.StringIO()
    published = directory / "published.onnx"
    if not published.exists():
        write_published(published)
    return Real(
        directory, RECIPE, load_configuration("tiny"), published, Console(file=text, width=100),
        photographs=MEASURED[:2], seen=MATERIALS, crops=6, scenes=5, calibration=4, simulated=("chelsea",), processes=2,
        methods=("MinMax",), distilling_steps=2,
    ), text  # fmt: skip


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("real")
    real(place)[0].run()
    return place


def test_the_report_has_every_figure(directory: Path) -> None:
    report = json.loads((directory / "report.json").read_text())
    (network,) = report["networks"]
    assert network["pictures"] == ["chelsea", "astronaut"]
    assert len(network["iou"]) == 2
    assert all(map(math.isfinite, (network["ptq_db"], network["onnxruntime_db"])))
    assert report["edits"].keys() == set(EDITS)
    tasks = sorted(RECIPE.model.task_names)
    assert [(frame["picture"], frame["task"]) for frame in report["frames"]] == [("chelsea", task) for task in tasks]
    assert all(frame["mismatched_bytes"] == 0 and frame["cycles"] > 1000 for frame in report["frames"])
    assert 0 < report["router_topk_agreement"] <= 1


def test_the_page_shows_every_picture_and_machine(directory: Path) -> None:
    page = (directory / "index.html").read_text()
    assert page.count("data:image/png") == 2 + 2 * 4 * 2 + 4  # photographs; float and integers of each; RTL of one
    assert "NASA, public domain" in page
    assert (directory / "overview.png").is_file()


def test_a_second_run_measures_nothing_again(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {path: path.stat().st_mtime_ns for path in (directory / "kept").rglob("*") if path.is_file()}
    report = (directory / "report.json").read_bytes()
    monkeypatch.setattr(frames, "RtlExecutor", None)
    real(directory)[0].run()
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert (directory / "report.json").read_bytes() == report


def test_a_byte_that_differs_fails_the_run(directory: Path) -> None:
    (kept, *_) = sorted((directory / "kept" / "frames").glob("*.json"))
    whole = kept.read_text()
    kept.write_text(json.dumps(json.loads(whole) | {"mismatched_bytes": 3}))
    try:
        with pytest.raises(InternalError, match="3 bytes of simulated frames differ"):
            real(directory)[0].run()
    finally:
        kept.write_text(whole)


def test_another_training_trains_again(directory: Path) -> None:
    run, _ = real(directory)
    training = dataclasses.replace(RECIPE.training, steps=2)
    dataclasses.replace(run, recipe=dataclasses.replace(RECIPE, training=training), simulated=()).run()
    assert len(list((directory / "kept").glob("network-*"))) == 2
    assert len(list((directory / "kept").glob("features-*"))) == 1

"""`moesaic run` on folders, with arrays and figures, on any executor; what it leaves, and what it leaves alone."""

import csv
import json
from importlib.metadata import EntryPoint

import numpy as np
import pytest

import moesaic
from moesaic.errors import UserError
from moesaic.host.executors import GROUP, executor_names
from moesaic.host.png import encode_png
from moesaic.spec.machine import ReferenceMachine


@pytest.fixture
def folder(tmp_path, image):
    """Two pictures, and what file managers and Macs leave beside pictures."""
    place = tmp_path / "pictures"
    place.mkdir()
    (place / "b.png").write_bytes(encode_png(image))
    (place / "a.PNG").write_bytes(encode_png(image[::-1]))
    for name in ("._a.png", ".hidden.png", ".DS_Store", "notes.txt"):
        (place / name).write_bytes(b"no picture")
    return place


def test_a_folder_with_arrays_and_figures(run_moesaic, saved_build, folder, image, tmp_path):
    out, table, document = tmp_path / "out", tmp_path / "runs.csv", tmp_path / "runs.json"
    words = ("--tasks", "depth,normals@1x1", "--raw", "--csv", table, "--json", document, "--output", out)
    code, text, error = run_moesaic("run", saved_build, folder, "--executor", "reference", *words)
    assert (code, error) == (0, "") and len(text.splitlines()) == 4
    runs = json.loads(document.read_text())["runs"]
    rows = list(csv.DictReader(table.read_text().splitlines()))
    names = [(folder / "a.PNG", "depth", None), (folder / "a.PNG", "normals", "1x1")]
    names += [(folder / "b.png", "depth", None), (folder / "b.png", "normals", "1x1")]
    assert [(run["image"], run["task"], run["pathway"]) for run in runs] == [(str(i), t, p) for i, t, p in names]
    assert [(row["image"], row["task"], row["pathway"] or None) for row in rows] == [
        (str(i), t, p) for i, t, p in names
    ]
    with moesaic.open(saved_build, "reference") as accelerator:
        for run, row, (path, task, pathway) in zip(runs, rows, names, strict=True):
            expected = accelerator.run(path, task, pathway)
            raw = np.load(run["raw"])
            assert raw.dtype == np.int16 and np.array_equal(raw, expected.raw)
            assert run["raw"] == row["raw"] and run["picture"] == row["picture"]
            assert run["seen"] == {"top": 0.0, "left": 8.0, "height": 45.0, "width": 45.0}
            assert float(row["seen_left"]) == 8 and row["size_width"] == "61" and row["executor"] == "reference"
            assert run["cycles"] is None and row["cycles"] == ""
            assert set(run["milliseconds"]) == {"prepare", "upload", "compute", "download", "decode"}
            assert float(row["milliseconds_compute"]) > 0
            assert (
                int(row["counters_instructions"])
                == run["counters"]["instructions"]
                == expected.counters["instructions"]
            )
    assert sorted(path.name for path in out.iterdir()) == sorted(
        f"{stem}.{name}.{ending}" for stem in "ab" for name in ("depth", "normals@1x1") for ending in ("png", "raw.npy")
    )
    assert not any(path.name.startswith(".") for path in tmp_path.iterdir())


def test_an_error_in_a_late_image_leaves_nothing(run_moesaic, saved_build, folder, tmp_path):
    (folder / "c.png").write_bytes(b"no picture")
    out = tmp_path / "out"
    code, text, error = run_moesaic("run", saved_build, folder, "--executor", "reference", "--output", out)
    assert code == 2 and text == "" and str(folder / "c.png") in error and error.count("\n") == 1
    assert not out.exists() and sorted(path.name for path in tmp_path.iterdir()) == ["pictures"]
    out.mkdir()
    (out / "mine.txt").write_text("kept")
    assert run_moesaic("run", saved_build, folder, "--executor", "reference", "--output", out)[0] == 2
    assert [path.name for path in out.iterdir()] == ["mine.txt"]


def test_a_folder_of_hidden_files_is_empty(run_moesaic, saved_build, folder, tmp_path):
    for name in ("a.PNG", "b.png"):
        (folder / name).unlink()
    code, _, error = run_moesaic("run", saved_build, folder, "--output", tmp_path / "out")
    assert code == 2 and f"{folder} holds 0 pictures" in error


def test_the_way_to_the_networks_size_can_be_chosen(run_moesaic, saved_build, image_file, tmp_path):
    words = (
        "--executor",
        "reference",
        "--tasks",
        "depth",
        "--output",
        tmp_path / "out",
        "--json",
        tmp_path / "runs.json",
    )
    assert run_moesaic("run", saved_build, image_file, *words, "--resize", "pad")[0] == 0
    (run,) = json.loads((tmp_path / "runs.json").read_text())["runs"]
    assert run["seen"] == {"top": 0.0, "left": 0.0, "height": 45.0, "width": 61.0}


def test_compare_takes_folders(run_moesaic, saved_build, folder):
    words = ("--executor", "reference", "--against", "emulator", "--tasks", "depth")
    code, text, _ = run_moesaic("compare", saved_build, folder, *words)
    assert code == 0 and text.splitlines()[-1] == "2 of 2 frames are equal on reference and emulator"


def named_rtl(directory, configuration):
    """Stands for the simulated RTL."""
    assert (directory / "rtl").is_dir()
    return ReferenceMachine(configuration)


def test_other_parts_add_executors(run_moesaic, saved_build, image_file, tmp_path, monkeypatch):
    entry = EntryPoint("rtl", f"{__name__}:named_rtl", GROUP)
    monkeypatch.setattr("moesaic.host.executors.entry_points", lambda group: [entry] if group == GROUP else [])
    assert executor_names() == ("board", "emulator", "reference", "rtl")
    words = ("run", saved_build, image_file, "--executor", "rtl", "--tasks", "depth", "--output", tmp_path / "out")
    code, text, error = run_moesaic(*words)
    assert (code, error) == (0, "") and "(rtl)" in text
    with moesaic.open(saved_build, "rtl") as accelerator:
        assert accelerator.executor_name == "rtl"
    monkeypatch.setattr("moesaic.host.executors.entry_points", lambda group: [])
    assert executor_names() == ("board", "emulator", "reference")
    with pytest.raises(UserError, match="unknown executor 'rtl'; known: auto, board, emulator, reference"):
        moesaic.open(saved_build, "rtl")
    code, _, error = run_moesaic(*words)
    assert code == 2 and "invalid choice: 'rtl'" in error


def test_the_declared_rtl_is_that_of_the_build(
    declared_executors, run_moesaic, saved_build, image, image_file, tmp_path
):
    """The simulated RTL, with a board's cycles and the emulator's integers."""
    words = ("--executor", "rtl", "--tasks", "depth", "--raw", "--json", tmp_path / "runs.json")
    code, text, error = run_moesaic("run", saved_build, image_file, *words, "--output", tmp_path / "out")
    assert (code, error) == (0, ""), error
    (run,) = json.loads((tmp_path / "runs.json").read_text())["runs"]
    assert run["cycles"] > 1000 and f"{run['cycles']:,} cycles" in text and "(rtl)" in text
    with moesaic.open(saved_build, "emulator") as accelerator:
        assert np.array_equal(np.load(run["raw"]), accelerator.run(image, "depth").raw)


def test_rtl_says_which_tool_is_missing(declared_executors, saved_build, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UserError, match="perl is missing"):
        moesaic.open(saved_build, "rtl")


@pytest.fixture
def declared_executors(monkeypatch):
    """The executors that pyproject.toml declares, whatever is installed."""
    import tomllib

    from tests.host.conftest import PYPROJECT

    declared = tomllib.loads(PYPROJECT.read_text())["project"]["entry-points"][GROUP]
    entries = [EntryPoint(name, value, GROUP) for name, value in declared.items()]
    monkeypatch.setattr("moesaic.host.executors.entry_points", lambda group: entries)

"""What is kept, what is put into the table, and what is said where a tool has failed."""

from io import StringIO

import numpy as np
import pytest
from rich.console import Console

from moesaic.command_line import main
from moesaic.errors import UserError
from moesaic.model.experiments.ptq.ptq_page import ptq_markdown, ptq_table
from moesaic.model.experiments.ptq.study import Figures, Study, Way, run_study
from moesaic.model.experiments.ptq.subjects import Metric, Subject
from tests.model.experiments.ptq.networks import pictures, small_network

STUDY = Study(
    ("ours", "theirs", "others"),
    (
        Figures("net", "depth", "rmse", False, 0.5, {"ours": 30.04, "theirs": 30.01}, {"ours": 0.51, "theirs": 0.52}),
        Figures("net", "normals", "degrees", False, 20, {"ours": 30, "theirs": 31.5}, {"ours": 21, "theirs": 20.5}),
    ),
    {("net", "others"): "it has no experts"},
)


def _subject(title: str, seed: int = 0) -> Subject:
    return Subject(
        title, small_network(0, seed), pictures(4, 1), pictures(3, 2), {"depth": Metric("largest", True)},
        lambda predictions: {name: float(found.max()) for name, found in predictions.items()},
    )  # fmt: skip


def test_each_task_has_a_row_of_decibels_and_one_of_its_metric():
    assert [[words for words, _ in row] for row in ptq_table(STUDY).written()] == [
        ["net", "depth", "dB", "–", "30.0", "30.0", "–"],
        ["", "", "rmse", "0.5000", "0.5100", "0.5200", "–"],
        ["net", "normals", "dB", "–", "30.0", "31.5", "–"],
        ["", "", "degrees", "20.0000", "21.0000", "20.5000", "–"],
    ]


def test_the_best_are_strong_whoever_has_them():
    tones = [[tone for _, tone in row[4:]] for row in ptq_table(STUDY).written()]
    assert tones[0] == ["strong", "strong", "plain"]
    assert tones[2] == ["plain", "strong", "plain"]


def test_an_empty_place_is_explained():
    assert "net, others: it has no experts" in ptq_markdown(STUDY)


def test_a_way_is_measured_once_and_kept_and_one_that_fails_is_said(tmp_path):
    calls = []

    def noisy(subject):
        calls.append(subject.title)
        return {task: found + 0.01 for task, found in subject.real.items() if task == "depth"}

    def failing(subject):
        raise UserError("not here")

    ways = [Way("noisy", noisy, {"tool": "noisy"}), Way("failing", failing, {"tool": "failing"})]
    subjects = [_subject("one"), _subject("two", seed=1)]
    studies = [run_study(subjects, ways, tmp_path, Console(file=StringIO())) for _ in range(2)]
    assert calls == ["one", "two"]
    assert studies[0] == studies[1]
    assert studies[0].failed == {("one", "failing"): "not here", ("two", "failing"): "not here"}
    (one, two) = studies[0].figures
    real = subjects[0].real["depth"].astype(np.float64)
    assert one.decibels["noisy"] == pytest.approx(10 * np.log10((real**2).sum() / (0.01**2 * real.size)), abs=1e-3)
    assert one.values["noisy"] == pytest.approx(one.real + 0.01, abs=1e-6)
    assert two.network == "two"


def test_a_subject_is_another_with_other_weights_or_pictures():
    assert _subject("one").key == _subject("two").key != _subject("one", seed=1).key


def test_a_command_without_networks_is_refused(capsys):
    assert main(["ptq"]) == 2
    assert "give --checkpoint or --published" in capsys.readouterr().err

"""The runs come first, the timing of experts last, and then the page; less is done if asked."""

import pytest

from moesaic.campaign.kept_results import keep_result
from moesaic.errors import UserError
from moesaic.model.commands.results import ResultsCommand
from moesaic.model.experiments import expert_timing, results_study
from moesaic.model.experiments.results_design import TUNING_SEEDS, SeededRun
from moesaic.model.experiments.results_page import results_markdown
from moesaic.model.experiments.results_records import gather, run_key, tuning_runs
from tests.model.calling import call
from tests.model.experiments.synthetic_study import EXPERTS, run, study


def test_experts_are_timed_when_every_run_is_done(tmp_path, monkeypatch):
    order, page_path = [], tmp_path / "page.md"
    monkeypatch.setattr(results_study, "execute_all", lambda *_: order.append("runs") or study())
    monkeypatch.setattr(expert_timing, "measure_once", lambda *_: order.append("experts") or EXPERTS)
    words = ("--output", tmp_path / "kept", "--page", page_path)
    assert call(ResultsCommand, *words) == 0 and order == ["runs", "experts"]
    assert page_path.read_text() == results_markdown(study(), EXPERTS)

    def refuse(*_):
        raise UserError("no room")

    page_path.unlink()
    monkeypatch.setattr(expert_timing, "measure_once", refuse)
    with pytest.raises(UserError, match="no room"):
        call(ResultsCommand, *words)
    assert not page_path.exists()


@pytest.fixture
def some_runs(tmp_path):
    """A directory with the dense network tuned, and two seeds of it."""
    for each in (*tuning_runs("dense", tmp_path), SeededRun("dense", 0), SeededRun("dense", 1)):
        gain = 1.0 if each.seed not in TUNING_SEEDS or each.factor == 1 else 0.9
        keep_result(tmp_path / f"{run_key(each)}.json", run("dense", each.seed, gain) | {"factor": each.factor})
    return tmp_path


def test_a_partial_page_is_of_what_is_done_and_runs_nothing(some_runs, monkeypatch):
    monkeypatch.setattr(results_study, "execute_all", None)
    monkeypatch.setattr(expert_timing, "measure_once", None)
    page = some_runs / "page.md"
    assert call(ResultsCommand, "--output", some_runs, "--page", page, "--partial") == 0
    assert page.read_text() == results_markdown(gather(some_runs), None)
    assert "| dense, equal work | 2 | x 1 | 10.00 M |" in page.read_text()


def test_the_plan_says_what_is_done_and_what_remains(some_runs, capsys):
    assert call(ResultsCommand, "--output", some_runs, "--page", some_runs / "page.md", "--plan") == 0
    text = capsys.readouterr().out
    rows = [line.split() for line in text.splitlines()]
    assert ["tune", "dense", "8", "8", "100", "0"] in rows and ["dense", "10", "2", "100", "800"] in rows
    assert ["tune", "multi-gate", "8", "0", "140", "1,120"] in rows
    assert "hours of one core in all" in " ".join(text.split())

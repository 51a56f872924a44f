"""The runs come first, the timing of experts last, and then the page."""

import pytest

from moesaic.errors import UserError
from moesaic.model.commands.results import ResultsCommand
from moesaic.model.experiments import expert_timing, results_study
from moesaic.model.experiments.results_page import results_markdown
from tests.model.calling import call
from tests.model.experiments.test_results_study import EXPERTS, measurements


def test_experts_are_timed_when_every_run_is_done(tmp_path, monkeypatch):
    order, page_path = [], tmp_path / "page.md"
    monkeypatch.setattr(results_study, "execute_all", lambda *_: order.append("runs") or measurements())
    monkeypatch.setattr(expert_timing, "measure_once", lambda *_: order.append("experts") or EXPERTS)
    words = ("--output", tmp_path / "kept", "--page", page_path)
    assert call(ResultsCommand, *words) == 0 and order == ["runs", "experts"]
    assert page_path.read_text() == results_markdown(measurements(), EXPERTS)

    def refuse(*_):
        raise UserError("no room")

    page_path.unlink()
    monkeypatch.setattr(expert_timing, "measure_once", refuse)
    with pytest.raises(UserError, match="no room"):
        call(ResultsCommand, *words)
    assert not page_path.exists()

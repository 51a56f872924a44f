"""Delta_m by hand."""

import pytest

from moesaic.errors import UserError
from moesaic.model.tasks.delta import delta_m


def test_by_hand():
    single = {"segmentation": 0.5, "depth": 2.0}
    assert delta_m(single, single) == 0
    assert delta_m({"segmentation": 0.6, "depth": 2.0}, single) == pytest.approx(10)
    assert delta_m({"segmentation": 0.5, "depth": 2.2}, single) == pytest.approx(-5)
    assert delta_m({"depth": 1.0, "segmentation": 0.25}, single) == pytest.approx(0)


def test_every_task_counts_with_its_own_sign():
    tasks = ("segmentation", "parts", "saliency", "edges", "depth", "normals")
    for task in tasks:
        change = delta_m({name: 1.1 if name == task else 1.0 for name in tasks}, dict.fromkeys(tasks, 1.0))
        assert change == pytest.approx(-10 / 6 if task in ("depth", "normals") else 10 / 6)


def test_missing_tasks_are_refused():
    with pytest.raises(UserError, match="no single-task result for edges"):
        delta_m({"depth": 1, "edges": 1}, {"depth": 1})
    with pytest.raises(UserError, match="no multi-task result for edges, parts"):
        delta_m({"depth": 1}, {"edges": 1, "depth": 1, "parts": 1})
    with pytest.raises(UserError, match="no results"):
        delta_m({}, {})
    for value in (0.0, float("nan"), -1.0):
        with pytest.raises(UserError, match=r"result of edges is .* not above 0"):
            delta_m({"edges": 1}, {"edges": value})

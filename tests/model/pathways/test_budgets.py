"""Choosing the experts that a task keeps."""

import numpy as np
import pytest

from moesaic.errors import UserError
from moesaic.model.pathways.budgets import Budget, choose_experts
from moesaic.model.pathways.usage import ExpertUsage


def usage_of(*masses, counts=None):
    blocks = {2 * i + 1: np.array(mass, float) for i, mass in enumerate(masses)}
    return {
        "depth": {
            i: ExpertUsage(100, np.ones(len(m), np.int64) if counts is None else counts, m) for i, m in blocks.items()
        }
    }


def kept(usage, *arguments, **options):
    return choose_experts(usage, Budget(*arguments, **options))["depth"]


def test_per_layer_every_block_keeps_its_heaviest():
    usage = usage_of([3, 9, 1, 5], [0, 0, 2, 1])
    assert kept(usage, 2) == {1: (1, 3), 3: (2, 3)}
    assert kept(usage, 1) == {1: (1,), 3: (2,)}
    assert kept(usage, 4) == {1: (0, 1, 2, 3), 3: (0, 1, 2, 3)}


def test_the_score_weighs_not_the_count_alone():
    usage = usage_of([5.0, 9.0, 1.0], counts=np.array([90, 10, 0]))
    assert kept(usage, 1) == {1: (1,)}


def test_ties_go_to_the_lowest_index_and_then_the_lowest_block():
    usage = usage_of([1, 1, 1], [1, 1, 1])
    assert kept(usage, 2) == {1: (0, 1), 3: (0, 1)}
    assert kept(usage, 3, scope="task") == {1: (0, 1), 3: (0,)}


@pytest.mark.parametrize("experts", range(2, 9))
def test_over_the_task_no_choice_of_that_many_has_more_mass(experts):
    rng = np.random.default_rng(experts)
    usage = usage_of(rng.random(4), rng.random(4) / 2)
    chosen = kept(usage, experts, scope="task")
    assert sum(map(len, chosen.values())) == experts and all(chosen.values())
    best = {i: int(np.argmax(one.mass)) for i, one in usage["depth"].items()}
    others = sorted((one.mass[e] for i, one in usage["depth"].items() for e in range(4) if e != best[i]), reverse=True)
    mass = sum(usage["depth"][i].mass[list(es)].sum() for i, es in chosen.items())
    expected = sum(one.mass.max() for one in usage["depth"].values()) + sum(others[: experts - 2])
    assert mass == pytest.approx(expected)


def test_over_the_task_every_block_keeps_as_many_as_a_token_goes_to():
    usage = usage_of([10, 9, 8, 7], [1, 2, 3, 4])
    assert kept(usage, 5, 2, "task") == {1: (0, 1, 2), 3: (2, 3)}
    with pytest.raises(UserError, match="cannot keep 3 experts in 2 MoE blocks, 2 or more in each: choose from 4 to 8"):
        kept(usage, 3, 2, "task")
    with pytest.raises(UserError, match="cannot keep 9 experts in 2 MoE blocks, 1 or more in each: choose from 2 to 8"):
        kept(usage, 9, scope="task")


def test_more_than_there_are_is_refused():
    with pytest.raises(UserError, match="cannot keep 5 experts of 4: choose from 1 to 4"):
        kept(usage_of([1, 2, 3, 4]), 5)


def test_a_network_without_experts_has_no_pathway():
    with pytest.raises(UserError, match="no experts"):
        choose_experts({"depth": {}}, Budget(1))


@pytest.mark.parametrize("text", ["8", "8x2", "1x1"])
def test_budgets_are_written_as_they_are_read(text):
    assert str(Budget.parse(text)) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not EXPERTS"),
        ("8x", "is not EXPERTS"),
        ("-1", "is not EXPERTS"),
        ("0", "keeps nothing"),
        ("4x0", "keeps nothing"),
        ("2x3", "cannot go to 3 of 2 experts"),
    ],
)
def test_bad_budgets_are_refused(text, message):
    with pytest.raises(UserError, match=message):
        Budget.parse(text)

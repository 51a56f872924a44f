"""Published figures stand in for runs; those of other recipes do not, and a damaged file is refused."""

import json

import pytest

from moesaic.campaign.kept_results import keep_result
from moesaic.errors import UserError
from moesaic.model.experiments.published_runs import publish, published_beside, take_published
from moesaic.model.experiments.results_design import FACTORS, TUNING_SEEDS, SeededRun
from moesaic.model.experiments.results_records import further_key, gather, run_key, tuning_runs


def result_of(run: SeededRun) -> dict:
    return {
        "name": run.name,
        "seed": run.seed,
        "factor": run.factor,
        "float": {"depth": 0.1 + abs(run.factor - 0.5) / 3},
    }


TUNINGS = len(FACTORS) * len(TUNING_SEEDS)


@pytest.fixture
def done(tmp_path):
    """A directory with the tuning of one network and a run of two seeds, one of them measured further, and a run of another recipe."""
    directory = tmp_path / "done"
    for run in (*tuning_runs("dense", directory), SeededRun("dense", 3, 0.5), SeededRun("dense", 4, 0.5)):
        keep_result(directory / f"{run_key(run)}.json", result_of(run))
    keep_result(directory / f"{further_key(SeededRun('dense', 3, 0.5))}.json", result_of(SeededRun("dense", 3, 0.5)))
    keep_result(directory / "dense-5-000000000000-t1.json", result_of(SeededRun("dense", 5, 0.5)))
    return directory


def test_what_one_machine_published_another_need_not_run(done, tmp_path):
    page, other = tmp_path / "results.md", tmp_path / "other"
    publish(page, done)
    assert len(published_beside(page).read_text().splitlines()) == 2 + TUNINGS + 3
    assert take_published(page, other) == TUNINGS + 3 and take_published(page, other) == 0
    there, here = gather(done), gather(other)
    assert here.seeds("dense") == [3, 4] and here.further_of("dense") == [3]
    assert (there.runs, there.further, there.tuning) == (here.runs, here.further, here.tuning)


def test_own_results_stay(done, tmp_path):
    page, other, run = tmp_path / "results.md", tmp_path / "other", SeededRun("dense", 3, 0.5)
    publish(page, done)
    own = result_of(run) | {"float": {"depth": 9}}
    keep_result(other / f"{run_key(run)}.json", own)
    assert take_published(page, other) == TUNINGS + 2
    assert json.loads((other / f"{run_key(run)}.json").read_text()) == own


@pytest.mark.parametrize(
    ("content", "message"),
    [("{", "cannot be read"), ("[]", "holds no results by run"), ('{"dense": {"name": "x"}}', "dense is no result")],
)
def test_a_damaged_file_is_refused(tmp_path, content, message):
    page = tmp_path / "results.md"
    published_beside(page).write_text(content)
    with pytest.raises(UserError, match=f"results.json.*{message}.*: take its own copy, or delete it"):
        take_published(page, tmp_path / "here")
    assert not (tmp_path / "here").exists()


def test_without_a_file_nothing_is_taken(tmp_path):
    assert take_published(tmp_path / "results.md", tmp_path) == 0

import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from moesaic.campaign.campaign import run_campaign
from moesaic.campaign.case import Case
from moesaic.campaign.kept_results import content_key, keep_result, kept_result, read_result
from moesaic.campaign.progress import heard_by, say, watched
from moesaic.campaign.workers import cluster, in_this_process, local_processes, sources
from moesaic.errors import InternalError, UserError
from moesaic.spec.executor import MachineFault
from tests.moesaic import campaign_cases

ROOT = Path(__file__).parents[2]
SQUARES = [Case(f"square-{n}", f"the square of {n}", campaign_cases.square, (n,)) for n in range(6)]


def run(cases, workers, kept=None, console=None):
    return list(run_campaign(cases, workers, kept=kept, console=console or Console(file=io.StringIO())))


@pytest.fixture(params=["here", "processes"])
def workers(request):
    return in_this_process() if request.param == "here" else local_processes(2)


def test_results_are_kept_and_not_computed_again(workers, tmp_path):
    keep_result(tmp_path / "square-3.json", {"square": -1})
    (tmp_path / "square-4.json").write_text("{ broken")
    found = {outcome.case.key: outcome for outcome in run(SQUARES, workers, tmp_path)}
    assert [found[case.key].result["square"] for case in SQUARES] == [0, 1, 4, -1, 16, 25]
    assert [found[case.key].kept for case in SQUARES] == [False, False, False, True, False, False]
    again = run(SQUARES, workers, tmp_path)
    assert all(outcome.kept for outcome in again)
    assert {o.case.key: o.result for o in again} == {key: o.result for key, o in found.items()}


def test_nothing_is_kept_without_a_directory(workers, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert len(run(SQUARES, workers)) == len(SQUARES) and not list(tmp_path.iterdir())


def test_of_cases_with_one_key_one_is_run(workers):
    twins = [Case("square-2", title, campaign_cases.square, (2,)) for title in ("one", "other")]
    outcomes = run([SQUARES[1], *twins, SQUARES[3]], workers)
    assert sorted(outcome.case.title for outcome in outcomes)[:2] == ["one", "other"] and len(outcomes) == 4
    assert len({outcome.result["process"] for outcome in outcomes if outcome.case.key == "square-2"}) == 1


def test_processes_share_the_cases():
    processes = {outcome.result["process"] for outcome in run(SQUARES, local_processes(2))}
    assert 0 < len(processes) <= 2 and os.getpid() not in processes


def test_errors_on_purpose_are_outcomes_and_others_are_raised(workers, tmp_path):
    cases = [
        Case("refused", "", campaign_cases.refuse, (3,)),
        Case("fault", "", campaign_cases.fault),
        Case("one", "", campaign_cases.square, (1,)),
    ]
    found = {outcome.case.key: outcome for outcome in run(cases, workers, tmp_path)}
    assert isinstance(found["refused"].error, UserError) and str(found["refused"].error) == "3 is too small"
    error = found["fault"].error
    assert isinstance(error, MachineFault) and (error.unit, error.tag, error.detail) == ("load", 7, "detail")
    assert found["one"].result["square"] == 1 and [p.name for p in tmp_path.iterdir()] == ["one.json"]
    with pytest.raises(ZeroDivisionError, match="by nothing"):
        run([Case("broken", "", campaign_cases.break_down)], workers)


def test_cases_are_prepared_when_there_is_a_worker_for_them():
    prepared = []

    def cases():
        for case in SQUARES:
            prepared.append(case)
            yield case

    seen = [
        len(prepared) for _ in run_campaign(cases(), in_this_process(), kept=None, console=Console(file=io.StringIO()))
    ]
    assert seen == [1, 2, 3, 4, 5, 6]


def test_what_was_done_before_an_interruption_is_kept(workers, tmp_path):
    campaign = run_campaign(SQUARES, workers, kept=tmp_path, console=Console(file=io.StringIO()))
    first = next(campaign)
    campaign.close()
    again = {o.case.key: o for o in run(SQUARES, workers, tmp_path)}
    assert again[first.case.key].kept and again[first.case.key].result == first.result and len(again) == len(SQUARES)


def test_lost_worker_loses_no_case(tmp_path):
    cases = [*SQUARES, Case("lost", "", campaign_cases.die_once, (tmp_path / "marker",))]
    found = {outcome.case.key: outcome for outcome in run(cases, local_processes(2))}
    assert found["lost"].result == {"survived": True} and len(found) == len(cases)
    assert all(outcome.error is None for outcome in found.values())


def test_case_that_ends_its_workers_is_named():
    (outcome,) = run([Case("fatal", "the fatal case", campaign_cases.die)], local_processes(1))
    assert isinstance(outcome.error, InternalError) and str(outcome.error).startswith("the fatal case: its worker died")


@pytest.fixture
def scheduler(tmp_path):
    """A Dask cluster on the loopback, as its own commands start it: the address, and what starts another worker."""
    address_file, started = tmp_path / "scheduler.json", []

    def start(*arguments, **environment):
        started.append(
            subprocess.Popen(
                [sys.executable, "-m", "dask", *arguments], cwd=ROOT, env={**os.environ, **environment},
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
            )
        )  # fmt: skip
        return started[-1]

    start("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(address_file))
    while not read_result(address_file):
        time.sleep(0.1)
    address = read_result(address_file)["address"]
    yield address, lambda **environment: start("worker", address, "--nthreads", "1", "--no-dashboard", **environment)
    for process in started:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_two_workers_of_a_cluster(scheduler, tmp_path):
    address, start = scheduler
    start()
    start()
    cases = [*SQUARES, Case("lost", "", campaign_cases.die_once, (tmp_path / "marker",))]
    found = {outcome.case.key: outcome for outcome in run(cases, cluster(address), tmp_path / "kept")}
    assert [found[case.key].result["square"] for case in SQUARES] == [n**2 for n in range(6)]
    assert found["lost"].result == {"survived": True}


def test_worker_with_other_sources_is_refused(scheduler, tmp_path, monkeypatch):
    address, start = scheduler
    start()
    with monkeypatch.context() as patch:
        patch.setattr("moesaic.campaign.workers.sources", lambda: "0123456789ab")
        (outcome,) = run(SQUARES[:1], cluster(address))
    assert isinstance(outcome.error, UserError)
    assert f"({sources()})" in str(outcome.error) and "(0123456789ab)" in str(outcome.error)


def test_cluster_without_workers_and_no_cluster_at_all(scheduler, monkeypatch):
    monkeypatch.setattr("moesaic.campaign.workers._WAIT", 0.5)
    with pytest.raises(UserError, match=f"{scheduler[0]} has 0 workers, 1 is needed"):
        run(SQUARES, cluster(scheduler[0]))
    for address in ("tcp://127.0.0.1:9", "nowhere"):
        with pytest.raises(UserError, match=f"no Dask scheduler at '{address}'"):
            run(SQUARES, cluster(address))


def test_what_cases_say_is_shown(workers):
    shown = io.StringIO()
    run(SQUARES, workers, console=Console(file=shown, force_terminal=True, width=120))
    assert "6/6" in shown.getvalue() or "6/?" in shown.getvalue()


def test_watched_says_what_changes():
    heard, state = [], ["first"]
    with heard_by(heard.append):
        say("before")
        with watched(lambda: state[0]):
            while len(heard) < 2:
                time.sleep(0.05)
            state[0] = "second"
            while len(heard) < 3:
                time.sleep(0.05)
    assert heard == ["before", "first", "second"]


def test_keys_depend_on_every_entry(tmp_path):
    settings = {"a": 1, "b": [1, 2], "c": {"d": 0.5}}
    others = ({**settings, "a": 2}, {**settings, "b": [2, 1]}, {**settings, "c": {"d": 0.25}}, {"a": 1, "b": [1, 2]})
    assert len({content_key(each) for each in (settings, *others)}) == 5
    assert content_key(dict(reversed(settings.items()))) == content_key(settings)
    assert kept_result(tmp_path / "x.json", lambda: [1]) == kept_result(tmp_path / "x.json", list) == [1]

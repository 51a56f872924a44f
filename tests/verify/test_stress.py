"""A batch of each kind; `make verify` runs many."""

from __future__ import annotations

import io

import numpy as np
import pytest
from rich.console import Console

from moesaic.campaign.kept_results import read_result
from moesaic.campaign.workers import in_this_process
from moesaic.hls.hardware.accelerator_sources import RTL_DIRECTORY
from moesaic.sim.machines.rtl_executor import RtlExecutor
from tests.verify.stress import stress_campaign
from tests.verify.stress.batches import TINY, random_work, run_episodes, run_frames
from tests.verify.stress.driven_machine import DrivenMachine
from tests.verify.stress.episodes import EPISODES, right_run


@pytest.fixture(scope="module")
def works():
    return [random_work(seed) for seed in (0, 1)]


@pytest.fixture(scope="module", params=[None, 5], ids=["fixed-dram", "random-dram-seed5"])
def machine(request):
    with (
        RtlExecutor(RTL_DIRECTORY, TINY, random_seed=request.param) as executor,
        DrivenMachine(executor, TINY.load_ports) as machine,
    ):
        yield machine


@pytest.mark.parametrize("seed", range(2), ids=lambda seed: f"seed{seed}")
@pytest.mark.parametrize("episode", EPISODES, ids=lambda episode: episode.__name__)
def test_the_next_run_is_right(machine, works, episode, seed):
    rng = np.random.default_rng([seed, 47])
    for _ in range(3):
        episode(machine, works, rng)
        right_run(machine, works[int(rng.integers(len(works)))])


def test_the_campaign_counts_and_keeps(tmp_path, monkeypatch):
    def batch(kind, seed):
        if seed == 8:
            return {"failure": f"{kind} of seed {seed}"}
        return {"episodes": {"reset": 2}, "cycles": 10} if kind == "episodes" else {"frames": 3, "cycles": 100}

    monkeypatch.setattr(stress_campaign, "run_batch", batch)
    shown = io.StringIO()
    console = Console(file=shown, width=200)
    found = stress_campaign.stress(tmp_path, in_this_process(), console, seed=6, batches=3)
    failures = ["episodes of seed 8", "frames of seed 8"]
    assert found == {"episodes": {"reset": 4}, "frames": 6, "cycles": 220, "failures": failures}
    assert read_result(tmp_path / "stress.json") == found and "frames of seed 8" in shown.getvalue()


@pytest.mark.slow
@pytest.mark.parametrize("seed", (100, 101), ids=lambda seed: f"seed{seed}")
def test_a_batch(seed):
    assert sum(run_episodes(seed, 20)["episodes"].values()) == 20


@pytest.mark.slow
def test_frames_back_to_back():
    assert run_frames(3, 300_000)["frames"] > 4

"""Two torchrun agents, as on two machines, train the network that one process trains, with experts inside a machine and across."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from moesaic.model.recipes.recipe import load_recipe
from moesaic.model.training import checkpoint
from moesaic.model.training.local_processes import free_port
from moesaic.model.training.train import train
from tests.model.conftest import OWN_RECIPE

PROGRAMS = Path(sys.executable).parent
RECIPE = OWN_RECIPE.replace("batch = 2", 'batch = 4\noptimizer = "sgd"\nvalidate_every = 2\nexperts_sharded = true')
RECIPE = (
    RECIPE.replace("steps = 1", "steps = 3")
    .replace("pool = 2", "pool = 8")
    .replace("[model]", '[model]\ngate_noise = "none"')
)
RECIPE += "\n[data]\nvalidation = 3\n"
"""Without noise, which every rank draws for its own tokens."""


@pytest.mark.parametrize(
    "expert_ranks",
    [pytest.param("node", marks=pytest.mark.slow, id="inside-a-machine"), pytest.param("4", id="across-machines")],
)
def test_two_agents_of_two_processes(expert_ranks, tmp_path):
    recipe, path, port = tmp_path / "recipe.toml", tmp_path / "model", free_port()
    recipe.write_text(RECIPE)
    agents = []
    for number in range(2):
        words = ["--nnodes", 2, "--node-rank", number, "--nproc-per-node", 2, "--no-python"]
        words += ["--master-addr", "127.0.0.1", "--master-port", port, PROGRAMS / "moesaic", "train", "--device", "cpu"]
        words += ["--recipe", recipe, "--checkpoint", path, "--expert-ranks", expert_ranks]
        command = [sys.executable, "-m", "torch.distributed.run", *map(str, words)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        agents.append(
            subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        )
    said = [agent.communicate(timeout=600)[0] for agent in agents]
    assert [agent.returncode for agent in agents] == [0, 0], said
    assert "checkpoint: " in said[0] and "checkpoint: " not in said[1]
    train(load_recipe(str(recipe)), tmp_path / "alone")
    found, expected = checkpoint.load(path), checkpoint.load(tmp_path / "alone")
    assert found.step == 3 and found.selection.step == expected.selection.step
    assert found.selection.reference == pytest.approx(expected.selection.reference, rel=1e-4)
    for name, weight in expected.weights.items():
        torch.testing.assert_close(
            found.weights[name], weight, rtol=1e-4, atol=1e-6, msg=lambda text, n=name: f"{n}: {text}"
        )


def test_an_evaluation_of_two_processes_has_the_figures_of_one(own_recipe, tmp_path):
    path, found = tmp_path / "model", {}
    train(load_recipe(str(own_recipe)), path)
    for processes in (1, 2):
        words = ["evaluate", "--checkpoint", path, "--samples", 67, "--device", "cpu", "--float-only"]
        words += ["--json", tmp_path / f"{processes}.json", "--predictions", tmp_path / f"predictions-{processes}"]
        start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--no-python"]
        command = [*(start if processes > 1 else []), PROGRAMS / "moesaic", *words]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(list(map(str, command)), env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
        assert done.stdout.count("accuracy on held-out images") == 2  # all figures, and those of each class
        found[processes] = json.loads((tmp_path / f"{processes}.json").read_text())
    assert found[1] == found[2]
    files = [
        {p.relative_to(top): p.read_bytes() for p in top.rglob("*") if p.is_file()}
        for top in (tmp_path / "predictions-1", tmp_path / "predictions-2")
    ]
    assert files[0] == files[1] and len(files[0]) == 2 * 67

"""Two and three processes that each measure a share of the data find the figures of one process, to the last bit."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from moesaic.model.data.registry import open_dataset
from moesaic.model.evaluation import evaluate as evaluation
from moesaic.model.evaluation.share import Share
from moesaic.model.network.vit import M3ViT
from moesaic.model.recipes.recipe import ModelConfiguration, TaskConfiguration
from moesaic.model.tasks.exact_sum import ExactSum
from moesaic.model.tasks.metrics import DepthMeter, IouMeter, Meter
from moesaic.model.training.distributed import Ranks
from moesaic.model.training.local_processes import run_on_ranks

CHANNELS = {"segmentation": 6, "parts": 9, "saliency": 1, "normals": 3, "edges": 1, "depth": 1, "features": 0}
CONFIGURATION = ModelConfiguration(
    image_height=24, image_width=32, patch=8, width=32, depth=2, heads=2, mlp_hidden=64, experts=4, top_k=2, expert_hidden=32,
    tasks=tuple(TaskConfiguration(*task) for task in CHANNELS.items()),
)  # fmt: skip
SAMPLES = {"uneven": 7, "one-batch": 2}
"""Of two in a batch: four batches, or fewer batches than processes."""


def figures(samples: int, share: Share) -> dict:
    """All figures of an untrained network and of the same with noise. The meter of depth is one that does not add up."""
    torch.manual_seed(0)
    model = M3ViT(CONFIGURATION).eval()
    exact = evaluation.float_predictor(model)

    def noisy(images: np.ndarray, task: str) -> np.ndarray:
        rng = np.random.default_rng(int(images.sum()))
        found = exact(images, task)
        return found + rng.normal(0, 0.1, found.shape).astype(np.float32)

    kept = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluation, "_BATCH", 2)
        patch.setattr(DepthMeter, "sums", ())
        data = open_dataset("scenes", None, "val", 24, 32, count=samples)
        measured = evaluation._measure(
            {"float": exact, "noisy": noisy}, CONFIGURATION, data, None, lambda *place: kept.append(place[:3]), share
        )
    found = {
        f"{task}/{network}": {"": meter.result(), **meter.further()}
        for task, (_, meters) in measured.items()
        for network, meter in meters.items()
    }
    return {"figures": found, "kept": sorted(map(list, kept))}


def measure_share(ranks: Ranks, directory: Path) -> None:
    for name, samples in SAMPLES.items():
        found = figures(samples, Share(ranks.rank, ranks.size))
        (directory / f"{name}-{ranks.rank}.json").write_text(json.dumps(found))


@pytest.mark.parametrize("ranks", [2, 3])
def test_figures_of_many_are_those_of_one(ranks, tmp_path):
    run_on_ranks(measure_share, ranks, tmp_path)
    for name, samples in SAMPLES.items():
        alone = json.loads(json.dumps(figures(samples, Share())))
        assert len(alone["figures"]) == 2 * len(CHANNELS)
        shares = [json.loads((tmp_path / f"{name}-{rank}.json").read_text()) for rank in range(ranks)]
        for share in shares:
            assert str(share["figures"]) == str(alone["figures"])  # as text, where NaN equals NaN
        assert sorted(place for share in shares for place in share["kept"]) == alone["kept"]


@pytest.mark.parametrize(("batches", "ranks"), [(7, 3), (2, 5), (0, 2), (8, 4)])
def test_shares_follow_one_another_and_are_alike_in_size(batches, ranks):
    shares = [Share(rank, ranks) for rank in range(ranks)]
    assert [number for share in shares for number in share.of(batches)] == list(range(batches))
    sizes = [len(share.of(batches)) for share in shares]
    assert max(sizes) - min(sizes) <= 1 and all(share.largest(batches) == max(sizes) for share in shares)


def test_a_meter_without_sums_does_not_merge():
    class Own(DepthMeter):
        sums = ()

    with pytest.raises(TypeError, match="Own names no sums"):
        Own().merge(Own())
    assert not Meter.sums and IouMeter.sums


@pytest.mark.parametrize("seed", range(3), ids=lambda seed: f"seed{seed}")
def test_an_exact_sum_has_no_order(seed):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(40, 3)) * 10.0 ** rng.integers(-300, 300, (40, 3))
    values[rng.integers(40), 1] = [np.inf, np.nan, 5e-324][seed]
    parts = [ExactSum(3), ExactSum(3)]
    for row, value in enumerate(values):
        parts[row % 2].add(value)
    shuffled = ExactSum(3)
    for value in rng.permutation(values):
        shuffled.add(value)
    assert np.array_equal((parts[0] + parts[1]).value, shuffled.value, equal_nan=True)
    assert np.array_equal(parts[1].value, np.array([math.fsum(column) for column in values[1::2].T]), equal_nan=True)

"""odsF by hand and against brute force: every threshold, every pairing."""

import itertools

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt, gaussian_filter
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching
from skimage.morphology import thin

from moesaic.model.tasks.edge_metric import EdgeMeter, _Truth
from moesaic.spec.predictions import probability

SEEDS = range(6)


def ods(predictions, targets):
    meter = EdgeMeter()
    meter.update(predictions, targets)
    return meter.result()


def most_pairs(truth, found):
    """The size of the largest matching, by trying every pairing of the truth's pixels. truth, found: lists of partners."""
    best = 0
    for choice in itertools.product(*([None, *partners] for partners in truth)):
        chosen = [place for place in choice if place is not None]
        if len(set(chosen)) == len(chosen):
            best = max(best, len(chosen))
    return best


@pytest.mark.parametrize("radius", [0.5, 1.0, 1.5, 2.3])
@pytest.mark.parametrize("seed", SEEDS, ids=lambda s: f"seed{s}")
def test_matching_has_the_most_pairs(seed, radius):
    rng = np.random.default_rng(seed)
    truth, found = np.zeros((5, 8), bool), np.zeros((5, 8), bool)
    truth.flat[rng.choice(40, 5, replace=False)] = True
    found.flat[rng.choice(40, rng.integers(0, 9), replace=False)] = True
    partners = [
        [j for j, b in enumerate(np.argwhere(found)) if ((a - b) ** 2).sum() <= radius**2] for a in np.argwhere(truth)
    ]
    assert _Truth(truth, radius).matches(found) == most_pairs(partners, found)


@pytest.mark.parametrize("radius", [1.0, 2.3, 5.4])
@pytest.mark.parametrize("seed", SEEDS, ids=lambda s: f"seed{s}")
def test_matching_has_as_many_pairs_as_scipys(seed, radius):
    """Lines and noise of various density, which leave long paths to be augmented."""
    rng = np.random.default_rng(seed)
    for share in (0.02, 0.2, 0.5):
        truth = np.zeros((40, 60), bool)
        truth[rng.integers(0, 40, 3)] = True
        truth &= rng.random(truth.shape) < 0.9
        found = (rng.random(truth.shape) < share) | (np.roll(truth, 2, 0) & (rng.random(truth.shape) < 0.7))
        apart = np.argwhere(truth)[:, None] - np.argwhere(found)
        graph = csr_array((apart**2).sum(-1) <= radius**2)
        pairs = (maximum_bipartite_matching(graph, perm_type="column") >= 0).sum()
        assert _Truth(truth, radius).matches(found) == pairs and 0 < pairs <= min(truth.sum(), found.sum())


def test_tries_alone_would_be_too_few(monkeypatch):
    monkeypatch.setattr("moesaic.model.tasks.edge_metric._augment", lambda *_: False)
    with pytest.raises(AssertionError):
        test_matching_has_as_many_pairs_as_scipys(0, 2.3)


def test_matching_of_a_whole_picture_does_not_get_lost():
    """More truth than found pixels along contours that the found ones follow: here scipy's search takes minutes."""
    rng = np.random.default_rng(0)
    field, noise = gaussian_filter(rng.normal(size=(512, 512)), 18), gaussian_filter(rng.normal(size=(512, 512)), 1.5)
    areas = np.digitize(field, np.quantile(field, [0.2, 0.4, 0.6, 0.8]))
    truth = np.zeros(areas.shape, bool)
    truth[:-1] |= areas[1:] != areas[:-1]
    truth[:, :-1] |= areas[:, 1:] != areas[:, :-1]
    found = thin(noise / noise.std() - 0.8 * distance_transform_edt(~truth) > -1.5)
    truth = thin(truth)
    pairs = _Truth(truth, 5.43).matches(found)
    assert 0.9 * found.sum() < pairs < found.sum() and pairs < truth.sum()


def test_greedy_matching_would_be_wrong():
    truth, found = np.zeros((1, 4), bool), np.zeros((1, 4), bool)
    truth[0, [1, 3]] = True
    found[0, [0, 2]] = True
    assert _Truth(truth, 1.0).matches(found) == 2  # not 1, as when truth 1 takes found 2


def brute_force(predictions, targets, radius):
    """F at each threshold by thinning with scikit-image and pairing exhaustively; the best."""
    best = 0
    for step in range(1, 100):
        matched = count = true = 0
        for shown, target in zip(probability(predictions[:, 0]), targets):
            valid = target != 255
            truth, found = thin(target == 1) & valid, thin(shown >= step / 100) & valid
            places = np.argwhere(found)
            partners = [[j for j, b in enumerate(places) if np.hypot(*(a - b)) <= radius] for a in np.argwhere(truth)]
            matched, count, true = matched + most_pairs(partners, found), count + len(places), true + int(truth.sum())
        best = max(best, 2 * matched / max(count + true, 1))
    return best


@pytest.mark.parametrize("seed", range(2), ids=lambda s: f"seed{s}")
def test_brute_force(seed):
    rng = np.random.default_rng(seed)
    targets = np.zeros((2, 6, 7), np.uint8)
    targets[0, 2, 1:6] = targets[1, 1:5, 3] = 1
    targets[rng.random(targets.shape) < 0.1] = 255
    predictions = (rng.normal(-1, 1, (2, 1, 6, 7)) + 2 * (targets == 1)[:, None]).round(1)
    meter = EdgeMeter(1.2 / np.hypot(6, 7))
    meter.update(predictions, targets)
    found = meter.result()
    assert 0.3 < found < 1 and found == pytest.approx(brute_force(predictions, targets, 1.2))


def line(height=200, width=150, row=80, thick=1):
    picture = np.zeros((1, height, width), np.uint8)
    picture[0, row : row + thick, 10:-10] = 1
    return picture


def test_tolerance_is_a_share_of_the_diagonal():
    # 0.0075 of a diagonal of 250 pixels: 1.875
    truth = line()
    assert ods(line(row=81)[:, None] * 20.0 - 10, truth) == pytest.approx(1)
    assert ods(line(row=82)[:, None] * 20.0 - 10, truth) == pytest.approx(0)


def test_thick_edges_are_thinned_and_doubled_ones_count_once():
    truth = line(row=81)
    thick = ods(line(row=80, thick=3)[:, None] * 20.0 - 10, truth)
    assert thick > 0.98
    double = line(row=80) | line(row=82)  # either is near the truth, but a true pixel is matched once
    assert ods(double[:, None] * 20.0 - 10, truth) == pytest.approx(2 / 3, abs=0.02)


def test_the_threshold_is_one_for_the_whole_set():
    """Each image alone is perfect at some threshold; together one of the two is wrong at each."""
    strong, weak = line(row=40), line(row=120)
    first = np.where(strong, 2.0, np.where(weak, 1.0, -9.0))  # right above 0.73
    second = np.where(strong, -1.0, np.where(weak, -2.0, -9.0))  # right below 0.12, with both lines in the truth
    shown, truth = np.stack([first, second]), np.concatenate([strong, strong | weak])
    assert ods(first[:, None], strong) == 1 and ods(second[:, None], strong | weak) == 1
    pixels = strong.sum()
    # above 0.73: P = 1, R = 1/3; 0.27 to 0.73: 1 of 2 found, 3 true; 0.12 to 0.27: 2 of 3; below: 3 of 4
    assert pixels and ods(shown, truth) == pytest.approx(2 * 3 / (4 + 3))


def test_nothing_found_and_nothing_true():
    empty = np.zeros((1, 20, 20), np.uint8)
    nothing, everything = np.full((1, 1, 20, 20), -50.0), np.full((1, 1, 20, 20), 50.0)
    assert ods(nothing, empty) == 0 and ods(everything, empty) == 0
    assert ods(np.full((1, 1, 200, 150), -50.0), line()) == 0

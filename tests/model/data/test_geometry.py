"""Resizing, windows, mirroring and fitting move an image and its truths alike."""

import numpy as np
import pytest

from moesaic.model.data.geometry import Fitted, fit, mirrored, nearest, resized, rotated, window
from moesaic.model.data.rendered import RenderedScenes
from moesaic.model.data.samples import Sample
from moesaic.model.data.scenes import FOCAL, render
from tests.model.tasks.kinds import INVALID

GREY = 128  # the pixel nearest to the middle of the network's usual range


@pytest.fixture(scope="module")
def dataset():
    return RenderedScenes(render(12, 24, 40, seed=8))


def same(one, other):
    assert one.targets.keys() == other.targets.keys()
    return np.array_equal(one.image, other.image) and all(
        np.array_equal(target, other.targets[task]) for task, target in one.targets.items()
    )


def invalid(sample):
    """Per task, whether each pixel is invalid."""
    marks = {task: target == INVALID[task] for task, target in sample.targets.items()}
    return marks | {"normals": marks["normals"].all(-1)}


def test_mirroring_twice_changes_nothing_and_once_everything(dataset):
    for index in range(len(dataset)):
        assert same(mirrored(mirrored(dataset[index])), dataset[index])
        assert not same(mirrored(dataset[index]), dataset[index])


def test_a_mirrored_scene_is_the_truth_of_its_mirror_image(dataset):
    """The normals of the mirrored depth, by finite differences, are the mirrored normals; and with an unturned x they are not."""
    y, x = np.mgrid[:24, :40] + 0.5
    rays = np.stack([(x - 20) / (FOCAL * 24), (y - 12) / (FOCAL * 24), np.ones_like(x)], -1)
    tilted = 0
    for index in range(len(dataset)):
        sample = mirrored(dataset[index])
        points, normals = sample.targets["depth"][..., None] * rays, sample.targets["normals"]
        assert np.abs(np.linalg.norm(normals, axis=-1) - 1).max() < 1e-3
        assert ((normals * points).sum(-1) < 1e-3).all()  # towards the viewer
        inside = sample.targets["segmentation"] == 0  # the wall, a plane that is turned about the vertical
        if inside.sum() < 60:
            continue
        flat = np.linalg.svd(points[inside] - points[inside].mean(0), full_matrices=False)[2][2]
        assert np.abs(np.abs(normals[inside] @ flat) - 1).max() < 1e-3
        tilted += np.abs(np.abs(normals[inside] * [-1, 1, 1] @ flat) - 1).max() > 1e-2
    assert tilted > 5


@pytest.mark.parametrize("quarters", [-1, 0, 1, 2])
def test_quarter_turns_move_every_pixel_and_turn_normals(quarters):
    sample = RenderedScenes(render(1, 24, 24, seed=5))[0]
    turned = rotated(sample, 90 * quarters)
    assert np.abs(turned.image.astype(int) - np.rot90(sample.image, -quarters)).max() <= 1  # Pillow rounds down
    for task, target in sample.targets.items():
        if task != "normals":
            assert np.array_equal(turned.targets[task], np.rot90(target, -quarters)), task
    normals = np.rot90(sample.targets["normals"], -quarters)
    x, y = normals[..., 0], normals[..., 1]
    x, y = {-1: (y, -x), 0: (x, y), 1: (-y, x), 2: (-x, -y)}[quarters]  # right turns to down, y points down
    assert np.abs(turned.targets["normals"] - np.stack([x, y, normals[..., 2]], -1)).max() < 1e-6


@pytest.mark.parametrize("degrees", [-20, 12, 20, 130])
def test_a_turned_scene_is_the_truth_of_its_turned_image(dataset, degrees):
    """The plane through the points of the turned depth has the turned normals; and it has not the unturned ones."""
    y, x = np.mgrid[:24, :40] + 0.5
    rays = np.stack([(x - 20) / (FOCAL * 24), (y - 12) / (FOCAL * 24), np.ones_like(x)], -1)
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    turn = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])
    errors, errors_unturned = [], []
    for index in range(len(dataset)):
        sample = rotated(dataset[index], degrees)
        marks = invalid(sample)
        outside = marks["segmentation"]
        assert outside.any()
        for task in ("parts", "saliency", "edges", "segmentation"):
            assert np.array_equal(sample.targets[task] == 255, outside), task
        assert np.array_equal(marks["depth"], outside) and np.array_equal(marks["normals"], outside)
        inside = sample.targets["segmentation"] == 0  # the wall, a plane that is turned about the vertical
        if inside.sum() < 60:
            continue
        points, normals = (sample.targets["depth"][..., None] * rays)[inside], sample.targets["normals"][inside]
        flat = np.linalg.svd(points - points.mean(0), full_matrices=False)[2][2]
        errors.append(np.degrees(np.arccos(np.abs(normals @ flat).min().clip(max=1))))
        errors_unturned.append(np.degrees(np.arccos(np.abs(normals @ turn @ flat).min())))
    # A pixel's truth is that of a place up to 0.7 pixels away: the points lie near the plane, not on it.
    assert len(errors) > 5 and max(errors) < 3 < min(errors_unturned)


def test_a_turned_image_and_its_truths_stay_together():
    y, x = np.mgrid[:48, :64]
    image = np.stack([4 * y, 3 * x, np.zeros_like(x)], -1).astype(np.uint8)
    sample = Sample(image, {"segmentation": y.astype(np.uint8), "parts": x.astype(np.uint8)})
    turned = rotated(sample, 17)
    rows, columns = turned.targets["segmentation"].astype(int), turned.targets["parts"].astype(int)
    inside = np.ones_like(rows, bool)
    for row, column in ((1, 0), (-1, 0), (0, 1), (0, -1)):
        inside &= np.roll(rows, (row, column), (0, 1)) != 255
    assert inside.sum() > 2000
    assert np.abs(turned.image[..., 0] / 4 - rows)[inside].max() <= 1
    assert np.abs(turned.image[..., 1] / 3 - columns)[inside].max() <= 1
    assert (turned.image[0, 0] == GREY).all()
    right = columns[24, 40] - columns[24, 24], rows[24, 40] - rows[24, 24]
    assert right[0] > 13 and -6 < right[1] < -3  # clockwise: what is right of the centre now was above it


def test_a_rendered_scene_of_half_the_size_is_the_scene_shrunk():
    """Odd factors have a pixel's centre on a pixel's centre."""
    large, small = RenderedScenes(render(4, 72, 120, seed=8)), RenderedScenes(render(4, 24, 40, seed=8))
    for index in range(4):
        shrunk = resized(large[index], 24, 40)
        for task in ("segmentation", "parts"):
            assert np.array_equal(shrunk.targets[task], small[index].targets[task])
        assert np.abs(shrunk.targets["depth"] - small[index].targets["depth"]).max() < 1e-3
        assert np.abs(shrunk.image.astype(int) - small[index].image).mean() < 8


def test_nearest_takes_centres():
    assert nearest(6, 2).tolist() == [1, 4] and nearest(2, 6).tolist() == [0, 0, 0, 1, 1, 1]
    assert nearest(5, 5).tolist() == [0, 1, 2, 3, 4] and nearest(1, 3).tolist() == [0, 0, 0]
    for length in range(1, 30):
        for new in range(1, 30):
            assert nearest(length, new)[0] >= 0 and nearest(length, new)[-1] < length


@pytest.mark.parametrize(
    ("top", "left", "height", "width"),
    [
        (3, 5, 10, 20),
        (0, 0, 24, 40),
        (-2, -3, 24, 40),
        (10, 30, 24, 40),
        (-5, -6, 40, 60),
        (-24, 0, 24, 40),
        (30, 50, 4, 4),
    ],
)
def test_windows_are_the_sample_inside_and_invalid_outside(dataset, top, left, height, width):
    sample, cut = dataset[0], window(dataset[0], top, left, height, width)
    assert cut.image.shape == (height, width, 3)
    marks, inside = invalid(cut), 0
    for row in range(height):
        for column in range(width):
            y, x = top + row, left + column
            if 0 <= y < 24 and 0 <= x < 40:
                inside += 1
                assert np.array_equal(cut.image[row, column], sample.image[y, x])
                assert all(np.array_equal(cut.targets[t][row, column], sample.targets[t][y, x]) for t in cut.targets)
            else:
                assert (cut.image[row, column] == GREY).all() and all(mark[row, column] for mark in marks.values())
    assert all(mark.sum() == height * width - inside for task, mark in marks.items())


@pytest.mark.parametrize(("height", "width"), [(24, 40), (32, 48), (12, 20), (12, 12), (48, 10), (1, 1)])
def test_fitting_keeps_everything_in_proportion_and_never_enlarges(dataset, height, width):
    sample = dataset[3]
    fitted = fit(sample, height, width)
    valid = ~invalid(fitted)["segmentation"]
    rows, columns = valid.any(1).sum(), valid.any(0).sum()
    assert valid.sum() == rows * columns and fitted.image.shape == (height, width, 3)
    factor = min(1, height / 24, width / 40)
    assert abs(rows - 24 * factor) <= 1 and abs(columns - 40 * factor) <= 1
    above, before = valid.any(1).argmax(), valid.any(0).argmax()
    assert abs(2 * above + rows - height) <= 1 and abs(2 * before + columns - width) <= 1
    assert set(np.unique(fitted.targets["depth"][valid])) <= set(np.unique(sample.targets["depth"]))
    assert same(fit(fitted, height, width), fitted)


def test_fitted_data_sets_keep_their_tasks(dataset):
    fitted = Fitted(dataset, 16, 16)
    assert len(fitted) == 12 and fitted.tasks == dataset.tasks and fitted.class_names == dataset.class_names
    assert all(fitted[index].image.shape == (16, 16, 3) for index in range(12))


def test_samples_without_normals_have_a_mirror_image():
    sample = Sample(np.zeros((2, 3, 3), np.uint8), {"depth": np.float32([[1, 2, 3], [4, 5, 6]])})
    assert mirrored(sample).targets["depth"].tolist() == [[3, 2, 1], [6, 5, 4]]

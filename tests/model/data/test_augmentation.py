"""Augmentation changes an image and its truths alike, and only as its random numbers say."""

import dataclasses

import numpy as np
import pytest

from moesaic.model.data.augmentation import Augmentation, _recoloured, _turn_about_grey
from moesaic.model.data.geometry import fit, mirrored, resized
from moesaic.model.data.m3vit_augmentation import CHANGES, as_in_m3vit
from moesaic.model.data.registry import DATASETS, augmentation_of
from moesaic.model.data.rendered import RenderedScenes
from moesaic.model.data.samples import Sample
from moesaic.model.data.scenes import render
from moesaic.spec.input_description import InputDescription
from moesaic.spec.resize import fit as prepared


@pytest.fixture(scope="module")
def sample():
    return RenderedScenes(render(1, 24, 40, seed=8))[0]


def numbered(height=24, width=40):
    """A sample in which every pixel knows its place: red and green of the image, depth and labels."""
    y, x = np.mgrid[:height, :width]
    image = np.stack([y, x, np.zeros_like(x)], -1).astype(np.uint8)
    normals = np.zeros((height, width, 3), np.float32)
    normals[..., 0], normals[..., 2] = 0.6, -0.8
    targets = {"segmentation": y.astype(np.uint8), "parts": x.astype(np.uint8), "normals": normals}
    return Sample(image, targets | {"depth": np.float32(1 + y * width + x)})


def draw(augmentation, sample, seed):
    return augmentation(sample, np.random.default_rng(seed))


@pytest.mark.parametrize("name", DATASETS.names)
def test_equal_random_numbers_make_equal_samples(sample, name):
    augmentation = augmentation_of(name, 16, 24)
    images = set()
    for seed in range(8):
        one, two = draw(augmentation, sample, seed), draw(augmentation, sample, seed)
        assert np.array_equal(one.image, two.image) and one.image.shape == (16, 24, 3)
        assert all(np.array_equal(one.targets[task], two.targets[task]) for task in sample.targets)
        images.add(one.image.tobytes())
    assert len(images) > 6


def test_nothing_to_do_changes_nothing(sample):
    same = draw(Augmentation(24, 40, mirror=False), sample, 0)
    assert np.array_equal(same.image, sample.image)
    assert all(np.array_equal(same.targets[task], target) for task, target in sample.targets.items())


def test_half_of_the_samples_are_mirrored(sample):
    seen = {"as it was": 0, "mirrored": 0}
    for seed in range(40):
        image = draw(Augmentation(24, 40), sample, seed).image
        seen["as it was" if np.array_equal(image, sample.image) else "mirrored"] += 1
        assert np.array_equal(image, sample.image) or np.array_equal(image, mirrored(sample).image)
    assert min(seen.values()) > 10


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("seed", range(6), ids=lambda s: f"seed{s}")
def test_image_and_targets_stay_together(seed, mirror):
    sample = numbered()
    changed = draw(Augmentation(24, 40, scale=(0.5, 2.0), mirror=mirror), sample, seed)
    rows, columns = changed.targets["segmentation"], changed.targets["parts"]
    valid = rows != 255
    assert np.array_equal(valid, columns != 255) and np.array_equal(valid, changed.targets["depth"] > 0)
    assert np.array_equal(valid, np.linalg.norm(changed.targets["normals"], axis=-1) > 0) and valid.any()
    assert np.abs(changed.image[..., 0].astype(int) - rows)[valid].max() <= 1
    assert np.abs(changed.image[..., 1].astype(int) - columns)[valid].max() <= 1
    assert (changed.image[~valid] == 128).all()
    here = rows[valid].astype(np.float32) * 40 + columns[valid] + 1
    factors = here / changed.targets["depth"][valid]
    assert np.ptp(factors) < 1e-4 * factors.mean() and 0.5 <= factors.mean() <= 2
    turned = np.diff(columns.astype(int), axis=1)[valid[:, 1:] & valid[:, :-1]].sum() < 0
    assert set(np.unique(changed.targets["normals"][valid][:, 0])) == {np.float32(-0.6 if turned else 0.6)}
    assert mirror or not turned


def test_rotations_are_drawn_either_way_up_to_their_bound():
    degrees = []
    for seed in range(40):
        changed = draw(Augmentation(24, 40, rotation=20, mirror=False), numbered(), seed)
        x, y = changed.targets["normals"][12, 20, :2] / 0.6  # was (1, 0)
        degrees.append(np.degrees(np.arctan2(y, x)))
        margin = changed.targets["segmentation"] == 255
        assert np.array_equal(margin, changed.targets["depth"] == 0) and (margin.any() or abs(degrees[-1]) < 2)
    assert -20 <= min(degrees) < -15 and 15 < max(degrees) <= 20
    assert augmentation_of("pascal-context", 24, 40).rotation == 20
    assert not any(augmentation_of(name, 24, 40).rotation for name in DATASETS.names if name != "pascal-context")


def test_larger_is_nearer_and_smaller_has_a_margin():
    sample = numbered()
    larger = draw(Augmentation(24, 40, scale=(2.0, 2.0), mirror=False), sample, 1)
    assert (larger.targets["segmentation"] != 255).all()
    assert np.isin(2 * larger.targets["depth"], sample.targets["depth"]).all()
    smaller = draw(Augmentation(24, 40, scale=(0.5, 0.5), mirror=False), sample, 1)
    valid = smaller.targets["segmentation"] != 255
    assert valid[6:18, 10:30].all() and valid.sum() == 12 * 20
    assert np.array_equal(smaller.targets["depth"][6:18, 10:30], 2 * sample.targets["depth"][1::2, 1::2])


def test_images_that_are_too_large_are_fitted_first():
    changed = draw(Augmentation(12, 20, mirror=False), numbered(), 0)
    assert np.array_equal(changed.targets["depth"], numbered().targets["depth"][1::2, 1::2])


def test_colours_change_the_image_alone_and_by_bounded_amounts(sample):
    different = 0
    for seed in range(100, 200):
        changed = draw(Augmentation(24, 40, mirror=False, colours=True), sample, seed)
        assert all(np.array_equal(changed.targets[task], target) for task, target in sample.targets.items())
        different += not np.array_equal(changed.image, sample.image)
    assert 80 <= different < 100  # one in sixteen stays
    grey = np.full((4, 4, 3), 100, np.uint8)
    for seed in range(200):
        image = _recoloured(grey, np.random.default_rng(seed))
        assert (image == image[0, 0, 0]).all() and 50 - 32 - 1 <= image[0, 0, 0] <= 150 + 32 + 1  # grey stays grey


def test_a_third_of_a_turn_of_hue_exchanges_the_channels():
    turn = _turn_about_grey(2 * np.pi / 3)
    assert np.allclose(turn, [[0, 0, 1], [1, 0, 0], [0, 1, 0]])
    assert np.allclose(_turn_about_grey(0.3) @ _turn_about_grey(-0.3), np.eye(3))


def test_exchanged_colours_are_a_permutation(sample):
    orders = set()
    for seed in range(40):
        image = draw(Augmentation(24, 40, mirror=False, exchange=True), sample, seed).image
        orders.add(tuple(int((image[..., c, None] == sample.image).all((0, 1)).argmax()) for c in range(3)))
        assert np.array_equal(np.sort(image, -1), np.sort(sample.image, -1))
    assert len(orders) == 6


def test_samples_are_resized_and_padded_as_the_input_is_described(sample):
    stretched = InputDescription(resize="stretch")
    changed = draw(Augmentation(48, 40, mirror=False, description=stretched), sample, 0)
    assert np.array_equal(changed.image, resized(sample, 48, 40).image)
    assert np.array_equal(changed.targets["segmentation"], sample.targets["segmentation"].repeat(2, 0))
    padded = InputDescription(mean=(0.485, 0.456, 0.406), resize="pad")
    changed = draw(Augmentation(48, 80, scale=(0.5, 0.5), mirror=False, description=padded), sample, 0)
    outside = changed.targets["segmentation"] == 255
    assert outside.mean() == 0.75 and (changed.image[outside] == (124, 116, 104)).all()


@pytest.mark.parametrize("resize", ["crop", "pad", "stretch"])
def test_evaluation_and_runtime_see_the_same_pixels(sample, resize):
    description = InputDescription(resize=resize, interpolation="cubic")
    found = fit(sample, 32, 32, description)
    assert np.array_equal(found.image, prepared(sample.image, description, 32, 32)[0])
    assert found.targets["depth"].shape == (32, 32) and found.targets["normals"].shape == (32, 32, 3)
    assert (found.targets["segmentation"] == 255).any() == (resize == "pad")


def striped(width=200):
    """A sample of which the left part is class 0, then pixels come in which every second one is class 1."""
    labels = np.zeros((8, width), np.uint8)
    labels[:, width * 3 // 4 :: 2] = 1
    return Sample(np.zeros((8, width, 3), np.uint8), {"segmentation": labels})


def largest_share(labels):
    counts = np.unique(labels[labels != 255], return_counts=True)[1]
    return counts.max() / counts.sum() if len(counts) > 1 else 1.0


@pytest.mark.parametrize("name", ["segmentation"])
def test_crops_with_too_much_of_one_class_are_drawn_again(name):
    """As `RandomCrop.crop_bbox` of mmsegmentation with `cat_max_ratio`, of which this repeats the lines on the same random positions."""
    sample, seen = striped(), []
    for seed in range(60):
        augmentation = Augmentation(8, 16, mirror=False, largest_class_share=0.75)
        found = augmentation._cropped(sample, np.random.default_rng(seed)).targets[name]
        rng = np.random.default_rng(seed)

        def drawn(rng=rng):
            rng.integers(1)
            left = int(rng.integers(200 - 16 + 1))
            return sample.targets[name][:, left : left + 16]

        crop = drawn()
        for _ in range(10):
            labels, counts = np.unique(crop, return_counts=True)
            counts = counts[labels != 255]
            if len(counts) > 1 and np.max(counts) / np.sum(counts) < 0.75:
                break
            crop = drawn()
        assert np.array_equal(found, crop), seed
        seen.append(largest_share(found))
    free = [largest_share(draw(Augmentation(8, 16, mirror=False), sample, seed).targets[name]) for seed in range(60)]
    assert np.mean(np.array(seen) < 0.75) > 0.8
    assert np.mean(np.array(free) < 0.75) < 0.5


def test_invalid_pixels_count_for_no_class():
    labels = np.full((8, 60), 255, np.uint8)
    labels[0] = np.where(np.arange(60) % 5 < 3, 4, 5)
    sample = Sample(np.zeros((8, 60, 3), np.uint8), {"segmentation": labels})
    rng, fresh = np.random.default_rng(0), np.random.default_rng(0)
    Augmentation(8, 15, largest_class_share=0.7)._cropped(
        sample, rng
    )  # 9 of 15 valid pixels are below: the first crop is kept
    fresh.integers(1)
    fresh.integers(60 - 15 + 1)
    assert rng.bit_generator.state == fresh.bit_generator.state


@pytest.mark.parametrize("name", CHANGES)
def test_samples_change_as_in_the_code_of_m3vit(sample, name):
    augmentation = as_in_m3vit(augmentation_of(name, 24, 40), name)
    assert augmentation.colours is False and augmentation.mirror and not augmentation.inverse_depth
    depths = []
    for seed in range(60):
        found = draw(dataclasses.replace(augmentation, rotation=0.0), numbered(), seed)
        valid = found.targets["depth"] > 0
        places = (found.image[..., 0].astype(int) * 40 + found.image[..., 1] + 1)[valid]
        depths.append(np.round(np.median(places / found.targets["depth"][valid]), 1))
    if name == "pascal-context":
        assert augmentation.rotation == 20 and 0.7 <= min(depths) < 0.9
        assert 1.1 < max(depths) <= 1.3
    else:
        assert augmentation.rotation == 0 and set(depths) == {1.0, 1.2, 1.5}


def test_a_centred_window_is_around_the_centre():
    for seed in range(4):
        found = draw(Augmentation(8, 10, factors=(1.0,), centred=True, mirror=False), numbered(8, 10), seed)
        assert np.array_equal(found.image, numbered(8, 10).image)
    found = draw(Augmentation(8, 10, factors=(2.0,), centred=True, mirror=False), numbered(8, 10), 0)
    assert np.unique(found.targets["segmentation"]).tolist() == [2, 3, 4, 5]
    assert np.unique(found.targets["parts"]).tolist() == [2, 3, 4, 5, 6, 7]

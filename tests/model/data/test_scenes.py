"""The renderer against the geometry that it must obey."""

import numpy as np
import pytest

from model.data import scenes
from model.data.scenes import BACKGROUND, BOX, CONE, CYLINDER, FOCAL, GROUND, SPHERE, render


@pytest.fixture(scope="module")
def batch():
    return render(40, 48, 64, seed=3)


def points(batch):
    """Camera coordinates [N, h, w, 3] of every pixel, from depth alone."""
    height, width = batch.depth.shape[1:]
    y, x = np.mgrid[:height, :width] + 0.5
    focal = FOCAL * min(height, width)
    rays = np.stack([(x - width / 2) / focal, (y - height / 2) / focal, np.ones_like(x)], -1)
    return batch.depth[..., None] * rays


def test_a_scene_depends_on_its_seed_and_number_only():
    one, two, other = render(4, 24, 32, seed=5), render(2, 24, 32, seed=5, first=2), render(4, 24, 32, seed=6)
    for name in ("images", "segmentation", "depth", "normals"):
        assert np.array_equal(getattr(one, name)[2:], getattr(two, name))
        assert not np.array_equal(getattr(one, name), getattr(other, name))


def test_ranges_and_classes(batch):
    assert batch.images.dtype == np.uint8 and batch.images.std() > 20
    assert batch.depth.min() > 0 and np.isfinite(batch.depth).all()
    assert np.abs(np.linalg.norm(batch.normals, axis=-1) - 1).max() < 1e-3
    share = np.bincount(batch.segmentation.ravel(), minlength=6) / batch.segmentation.size
    assert len(share) == 6 and share.min() > 0.01


def test_normals_face_the_viewer(batch):
    assert ((batch.normals * points(batch)).sum(-1) < 1e-3).all()


@pytest.mark.parametrize("kind", [BACKGROUND, GROUND])
def test_planes_are_flat_and_have_their_normal(batch, kind):
    checked = 0
    for cloud, normals, mask in zip(points(batch), batch.normals, batch.segmentation == kind):
        if mask.sum() < 50:
            continue
        normal = normals[mask].mean(0)
        assert np.abs(normals[mask] - normal).max() < 1e-3
        distance = cloud[mask] @ normal
        assert np.ptp(distance) < 1e-2
        checked += 1
    assert checked > 20


@pytest.mark.parametrize("kind", [SPHERE, BOX, CYLINDER, CONE])
def test_normals_are_perpendicular_to_the_surface(batch, kind):
    """Neighbouring points of one smooth surface differ along the tangent; edges and outlines are the outliers."""
    cloud, mask = points(batch), batch.segmentation == kind
    along = cloud[:, :, 1:] - cloud[:, :, :-1]
    mean = batch.normals[:, :, 1:] + batch.normals[:, :, :-1]
    smooth = mask[:, :, 1:] & mask[:, :, :-1] & ((batch.normals[:, :, 1:] * batch.normals[:, :, :-1]).sum(-1) > 0.97)
    cosine = (along * mean).sum(-1) / (np.linalg.norm(along, axis=-1) * np.linalg.norm(mean, axis=-1))
    assert smooth.sum() > 500
    assert np.quantile(np.abs(cosine[smooth]), 0.95) < 0.03


@pytest.mark.parametrize("kind", [SPHERE, BOX, CYLINDER, CONE])
@pytest.mark.parametrize("seed", range(2), ids=lambda s: f"seed{s}")
def test_hits_lie_on_the_surface_and_misses_do_not_exist(kind, seed):
    """Points on the rays, found by marching through the solid's inequality, agree with the closed form."""
    rng = np.random.default_rng(seed)
    shape = scenes._shape(rng, kind, [0.1, 0.2, 3.0], 0.7, [0.6, 0.6, 0.6] if kind == SPHERE else [0.5, 0.7, 0.5])
    rays = np.float32(np.c_[rng.uniform(-0.4, 0.4, (300, 2)), np.ones(300)])
    t, _ = shape.intersect(np.zeros(3, np.float32), rays)
    steps = np.linspace(1, 5, 4001)
    local = shape.local(steps[:, None, None] * rays - shape.centre)  # [steps, rays, 3]
    radius = np.hypot(local[..., 0], local[..., 2])
    inside = {
        SPHERE: (local**2).sum(-1) < shape.size[0] ** 2,
        BOX: (np.abs(local) < shape.size).all(-1),
        CYLINDER: (radius < shape.size[0]) & (np.abs(local[..., 1]) < shape.size[1]),
        CONE: (np.abs(local[..., 1]) < shape.size[1])
        & (radius < shape.size[0] * (shape.size[1] - local[..., 1]) / (2 * shape.size[1])),
    }[kind]
    entered = inside.any(0)
    assert 30 < entered.sum() < 290
    assert np.isfinite(t[entered]).all()
    assert np.abs(t[entered] - steps[inside.argmax(0)][entered]).max() < 2e-3
    grazing = np.isfinite(t) & ~entered  # the march may step over a corner
    assert grazing.sum() <= 3


def test_flipping_mirrors_everything(batch):
    flipped = batch.flipped()
    assert np.array_equal(flipped.images[:, :, 0], batch.images[:, :, -1])
    assert np.array_equal(flipped.normals[..., 0], -batch.normals[:, :, ::-1, 0])
    assert ((flipped.normals * points(flipped)).sum(-1) < 1e-3).all()
    twice = flipped.flipped()
    assert np.array_equal(twice.normals, batch.normals)

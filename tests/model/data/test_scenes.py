"""The renderer against the geometry that it must obey."""

import numpy as np
import pytest

from moesaic.model.data import scenes
from moesaic.model.data.scenes import (
    BACKGROUND,
    BOX,
    CONE,
    CYLINDER,
    FOCAL,
    GROUND,
    PART_CLASSES,
    SPHERE,
    Scenes,
    render,
)

KINDS = {"sphere": SPHERE, "box": BOX, "cylinder": CYLINDER, "cone": CONE}


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
    for name in ("images", *one.targets):
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


def in_the_world(batch, seed, index):
    """The shapes of a scene and its points [h, w, 3] and outward normals [h, w, 3] in world axes."""
    rng = np.random.default_rng([seed, index])
    shapes = scenes._compose(rng)
    pitch, eye = rng.uniform(0.15, 0.4), np.array([0, rng.uniform(1.3, 1.7), 0])
    s, c = np.sin(pitch), np.cos(pitch)
    axes = np.array([[1, 0, 0], [0, -c, -s], [0, -s, c]])
    return shapes, eye + points(batch)[index] @ axes, batch.normals[index] @ axes


def test_parts_follow_from_segmentation_height_and_normal(batch):
    checked = np.zeros(len(PART_CLASSES), int)
    assert ((batch.parts == 0) == (batch.segmentation <= GROUND)).all()
    for index in range(len(batch)):
        shapes, cloud, normals = in_the_world(batch, 3, index)
        for row, column in np.argwhere(batch.parts[index])[::7]:
            name, kind = PART_CLASSES[batch.parts[index, row, column]], batch.segmentation[index, row, column]
            point, normal = cloud[row, column], normals[row, column]
            assert KINDS[name.split()[name.startswith(("upper", "lower"))]] == kind
            if kind == BOX:
                assert (name == "box top") == (normal[1] > 0.9)
            else:
                off = [np.abs(np.hypot(*(point - shape.centre)[[0, 2]])) for shape in shapes if shape.kind == kind]
                centre = [shape for shape in shapes if shape.kind == kind][int(np.argmin(off))].centre
                if sum(shape.kind == kind for shape in shapes) == 1 and abs(point[1] - centre[1]) > 1e-3:
                    assert name.startswith("upper") == (point[1] > centre[1])
            checked[batch.parts[index, row, column]] += 1
    assert checked[0] == 0 and checked[1:].min() > 20


def test_surfaces_meet_at_edges_and_only_there(batch):
    """Where segmentation changes or two faces of a box meet there is an edge, on a plane away from all else there is none."""
    edges, kinds, normals = batch.edges.astype(bool), batch.segmentation, batch.normals
    for here, there in ((np.s_[:, 1:], np.s_[:, :-1]), (np.s_[:, :, 1:], np.s_[:, :, :-1])):
        bend = (normals[here] * normals[there]).sum(-1) < 0.9
        meets = (kinds[here] != kinds[there]) | ((kinds[here] == BOX) & (kinds[there] == BOX) & bend)
        nearer_first = batch.depth[here] < batch.depth[there]
        assert meets.sum() > 500 and (edges[here] | edges[there])[meets].all()
        assert (
            edges[here][meets & nearer_first].all()
            and edges[there][meets & (batch.depth[here] > batch.depth[there])].all()
        )
    flat = np.zeros(edges.shape, bool)
    around = [
        kinds[:, 1:-1, 1:-1] == kinds[:, 1 + y : 47 + y, 1 + x : 63 + x] for y, x in ((0, 1), (0, -1), (1, 0), (-1, 0))
    ]
    flat[:, 1:-1, 1:-1] = np.all(around, 0) & (kinds[:, 1:-1, 1:-1] <= GROUND)
    assert flat.sum() > 1000 and not edges[flat].any()
    assert 0.02 < edges.mean() < 0.15


def test_edges_by_hand():
    surface = np.array([[0, 0, 0, 0], [0, 1, 1, 0], [0, 1, 2, 0]])
    depth = np.array([[5, 5, 5, 5], [5, 3, 3, 5], [5, 3, 3, 1]], np.float32)
    assert scenes._edges(surface, depth).tolist() == [[0, 0, 0, 0], [0, 1, 1, 0], [0, 1, 1, 1]]
    assert np.array_equal(scenes._edges(surface[:, ::-1], depth[:, ::-1]), scenes._edges(surface, depth)[:, ::-1])


def test_the_salient_shape_fills_most_of_the_middle(batch):
    owner = np.full((6, 12), 1)
    owner[:, 11:], owner[0, 10], owner[2:4, 5:8] = 3, 3, 2  # 7 pixels at the rim, 6 in the middle
    assert np.array_equal(scenes._saliency(owner, 2), owner == 2)
    owner[:, 8:] = 3
    assert np.array_equal(scenes._saliency(owner, 2), owner == 3)
    assert scenes._saliency(np.ones((4, 4), int), 2).sum() == scenes._saliency(np.zeros((4, 4), int), 2).sum() == 0
    for index in range(len(batch)):
        salient = batch.saliency[index] == 1
        kinds = set(batch.segmentation[index][salient])
        assert len(kinds) <= 1 and kinds <= set(KINDS.values())
        assert salient.any() == (batch.segmentation[index] > GROUND).any()


def test_truths_are_the_targets_of_the_tasks(batch):
    assert list(batch.targets) == ["segmentation", "depth", "normals", "parts", "saliency", "edges"]
    assert all(batch.targets[name].dtype == np.uint8 for name in ("segmentation", "parts", "saliency", "edges"))
    assert batch.parts.max() < len(PART_CLASSES) and batch.saliency.max() == batch.edges.max() == 1


def test_joined_scenes_are_all_scenes_in_order(batch):
    joined = Scenes.joined([batch[:3], batch[3:7], batch[7:]])
    for name in ("images", *batch.targets):
        assert np.array_equal(getattr(joined, name), getattr(batch, name))


def test_flipping_mirrors_everything(batch):
    flipped = batch.flipped()
    for name in ("images", "segmentation", "depth", "parts", "saliency", "edges"):
        assert np.array_equal(getattr(flipped, name)[:, :, 0], getattr(batch, name)[:, :, -1])
    assert np.array_equal(flipped.normals[..., 0], -batch.normals[:, :, ::-1, 0])
    assert ((flipped.normals * points(flipped)).sum(-1) < 1e-3).all()
    twice = flipped.flipped()
    assert np.array_equal(twice.normals, batch.normals)

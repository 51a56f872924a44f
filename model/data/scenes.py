"""Rendered data with exact ground truth: textured shapes on textured ground in front of a wall, lit by one lamp that casts shadows.

Scenes are ray-cast in numpy, one ray per pixel, and depend only on their seed and number and on the image size. Camera
coordinates: x right, y down, z into the picture; lengths in metres.
"""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

SEGMENTATION_CLASSES = ("background", "ground", "sphere", "box", "cylinder", "cone")
BACKGROUND, GROUND, SPHERE, BOX, CYLINDER, CONE = range(6)
PART_CLASSES = (
    "background",  # wall and ground too
    "upper sphere",
    "lower sphere",
    "box top",
    "box side",
    "upper cylinder",
    "lower cylinder",
    "upper cone",
    "lower cone",
)
_FIRST_PART = {SPHERE: 1, BOX: 3, CYLINDER: 5, CONE: 7}
"""Index of the upper of a shape's two parts; the lower part is the next index."""

FOCAL = 1.1  # focal length divided by the shorter image side: a field of view of 49 degrees along it
_MISS = np.float32(np.inf)
_NEAR = 1e-3
_FLAT = 0.99  # a face is horizontal if the vertical component of its normal exceeds this; all others are well below


@dataclass
class Scenes:
    """N rendered scenes with ground truth for six tasks; every pixel is valid.

    images: uint8 [N, h, w, 3], RGB. segmentation: uint8 [N, h, w], an index into SEGMENTATION_CLASSES. depth: float32
    [N, h, w], distance along the optical axis in metres, > 0. normals: float32 [N, h, w, 3], unit vectors towards the
    viewer in camera coordinates.

    parts: uint8 [N, h, w], an index into PART_CLASSES: a box has its top and its sides, any other shape its upper and lower half.

    saliency: uint8 [N, h, w], 1 on the most conspicuous shape, 0 elsewhere; all 0 if no shape is in view. The most conspicuous
    shape covers the most pixels, each weighted by exp(-4 r^2 / diagonal^2) for its distance r from the image's centre, because
    people look at the centre first (Judd et al., Learning to predict where humans look, ICCV 2009).

    edges: uint8 [N, h, w], 1 where surfaces meet: at a pixel with a neighbour above, below, left or right that shows another
    shape, or another face of the same shape, and is not nearer. An outline thus belongs to the shape in front.
    """

    images: np.ndarray
    segmentation: np.ndarray
    depth: np.ndarray
    normals: np.ndarray
    parts: np.ndarray
    saliency: np.ndarray
    edges: np.ndarray

    @classmethod
    def joined(cls, parts: Sequence["Scenes"]) -> "Scenes":
        """One or more sets of scenes of one size, concatenated in order."""
        names = [field.name for field in dataclasses.fields(cls)]
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))

    @property
    def targets(self) -> dict[str, np.ndarray]:
        """Ground truth by task, [N, h, w] or [N, h, w, 3] (normals); dtypes and units as in `moesaic.model.tasks.targets`."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)[1:]}

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: np.ndarray | slice) -> "Scenes":
        return Scenes(*(getattr(self, field.name)[index] for field in dataclasses.fields(self)))

    def flipped(self) -> "Scenes":
        """Mirrored left to right; the normals' x components change sign."""
        mirrored = Scenes(*(getattr(self, field.name)[:, :, ::-1] for field in dataclasses.fields(self)))
        return dataclasses.replace(mirrored, normals=mirrored.normals * np.array([-1, 1, 1], np.float32))


@dataclass
class _Shape:
    """A surface in world coordinates: x right, y up, z ahead; `turn` is a rotation about the vertical."""

    kind: int
    centre: np.ndarray
    turn: np.ndarray
    size: np.ndarray  # half extents; a sphere's radius, a cylinder's and a cone's radius in x and half height in y
    palette: np.ndarray
    waves: np.ndarray
    style: int

    def local(self, vectors: np.ndarray) -> np.ndarray:
        return vectors @ self.turn

    def intersect(self, origin: np.ndarray, rays: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """First hit of each ray: its parameter [N] (infinite for a miss) and the outward normal [N, 3] in world axes.

        origin and rays are [N, 3], or [3] when all are the same, in world axes. Rays that miss the bounding sphere are skipped.
        """
        o, d = origin - self.centre, rays
        count = max(o.size, d.size) // 3
        if self.kind in (BACKGROUND, GROUND):
            near = np.arange(count)
        else:
            near = np.flatnonzero((_dot(o, o) - (self.size**2).sum()) * _dot(d, d) <= _dot(o, d) ** 2)
        o, d = np.broadcast_to(o, (count, 3))[near], np.broadcast_to(d, (count, 3))[near]
        t, normal = np.full(count, _MISS), np.zeros((count, 3), np.float32)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            t[near], local_normal = _INTERSECT[self.kind](self.local(o), self.local(d), self.size)
        normal[near] = local_normal @ self.turn.T
        return t, normal

    def colour(self, points: np.ndarray) -> np.ndarray:
        """Albedo [N, 3] in 0..1 at surface points [N, 3] in world axes."""
        phase = self.local(points - self.centre) @ self.waves  # [N, 2]
        if self.style == 0:
            mix = (np.sin(phase).prod(-1) > 0).astype(np.float32)
        elif self.style == 1:
            mix = (np.sin(phase[:, 0]) > 0).astype(np.float32)
        else:
            mix = 0.5 + 0.25 * np.sin(phase).sum(-1) * np.sin(phase[:, 0] * 0.37 + phase[:, 1])
        return self.palette[0] + (self.palette[1] - self.palette[0]) * mix[:, None]

    def face(self, normals: np.ndarray) -> np.ndarray:
        """Number of the smooth face, uint8 [N] in 0..5, to which each outward normal [N, 3] in world axes belongs."""
        if self.kind == BOX:
            local = self.local(normals)
            axis = np.abs(local).argmax(-1)
            return (2 * axis + (local[np.arange(len(local)), axis] > 0)).astype(np.uint8)
        if self.kind in (CYLINDER, CONE):
            return (np.abs(normals[:, 1]) > _FLAT).astype(np.uint8)
        return np.zeros(len(normals), np.uint8)

    def part(self, points: np.ndarray, normals: np.ndarray) -> np.ndarray:
        """Indices into PART_CLASSES, uint8 [N], for surface points and their outward normals, both [N, 3] in world axes."""
        if self.kind in (BACKGROUND, GROUND):
            return np.zeros(len(points), np.uint8)
        upper = normals[:, 1] > _FLAT if self.kind == BOX else points[:, 1] > self.centre[1]
        return np.where(upper, np.uint8(_FIRST_PART[self.kind]), np.uint8(_FIRST_PART[self.kind] + 1))


def _dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Dot products of [N, 3] or [3] with [N, 3] or [3]."""
    if a.ndim == 2 and b.ndim == 2:
        return a[:, 0] * b[:, 0] + a[:, 1] * b[:, 1] + a[:, 2] * b[:, 2]
    return a @ b if a.ndim == 2 else b @ a


def _nearest(candidates: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """The smallest parameter of each ray, [N], and the normal there, [N, 3]."""
    t, normal = candidates[0]
    for other, other_normal in candidates[1:]:
        closer = other < t
        t, normal = np.where(closer, other, t), np.where(closer[:, None], other_normal, normal)
    return t, normal


def _accept(t: np.ndarray, condition: np.ndarray) -> np.ndarray:
    return np.where((t > _NEAR) & condition, t, _MISS)


def _quadratic(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both roots of a t^2 + 2 b t + c, smaller first for a > 0; NaN where they are not real."""
    root = np.sqrt(b * b - a * c)
    return (-b - root) / a, (-b + root) / a


def _sphere(o: np.ndarray, d: np.ndarray, size: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    t = _quadratic((d * d).sum(-1), (o * d).sum(-1), (o * o).sum(-1) - size[0] ** 2)[0]
    t = _accept(t, np.isfinite(t))
    return t, (o + np.where(np.isfinite(t), t, 0)[:, None] * d) / size[0]


def _box(o: np.ndarray, d: np.ndarray, size: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    near, far = (-np.sign(d) * size - o) / d, (np.sign(d) * size - o) / d
    axis, enter = near.argmax(-1), near.max(-1)
    t = _accept(enter, enter <= far.min(-1))
    normal = np.where(np.arange(3) == axis[:, None], -np.sign(d), 0)
    return t, normal


def _disc(o: np.ndarray, d: np.ndarray, height: float, radius: float, up: float) -> tuple[np.ndarray, np.ndarray]:
    t = (height - o[:, 1]) / d[:, 1]
    x, z = o[:, 0] + t * d[:, 0], o[:, 2] + t * d[:, 2]
    return _accept(t, x * x + z * z <= radius * radius), np.broadcast_to(np.array([0, up, 0], np.float32), d.shape)


def _cylinder(o: np.ndarray, d: np.ndarray, size: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    flat_o, flat_d = o[:, [0, 2]], d[:, [0, 2]]
    t = _quadratic((flat_d**2).sum(-1), (flat_o * flat_d).sum(-1), (flat_o**2).sum(-1) - size[0] ** 2)[0]
    t = _accept(t, np.abs(o[:, 1] + t * d[:, 1]) <= size[1])
    normal = (o + np.where(np.isfinite(t), t, 0)[:, None] * d) / size[0] * np.array([1, 0, 1], np.float32)
    return _nearest([(t, normal), _disc(o, d, size[1], size[0], 1), _disc(o, d, -size[1], size[0], -1)])


def _cone(o: np.ndarray, d: np.ndarray, size: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    slope = size[0] / (2 * size[1])
    scale = np.array([1, slope, 1], np.float32)
    sign = np.array([1, -1, 1], np.float32)
    apex = (o - np.array([0, size[1], 0], np.float32)) * scale
    ray = d * scale
    roots = _quadratic((ray * ray * sign).sum(-1), (apex * ray * sign).sum(-1), (apex * apex * sign).sum(-1))
    candidates = [_disc(o, d, -size[1], size[0], -1)]
    for root in roots:
        t = _accept(root, np.abs(o[:, 1] + root * d[:, 1]) <= size[1])
        point = o + np.where(np.isfinite(t), t, 0)[:, None] * d
        radius = np.hypot(point[:, 0], point[:, 2]) + 1e-9
        outward = np.stack([point[:, 0] / radius, np.full_like(radius, slope), point[:, 2] / radius], -1)
        candidates.append((t, outward / math.hypot(1, slope)))
    return _nearest(candidates)


def _plane(o: np.ndarray, d: np.ndarray, size: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    t = -o[:, 1] / d[:, 1]
    return _accept(t, np.isfinite(t)), np.broadcast_to(np.array([0, 1, 0], np.float32), d.shape)


def _wall(o: np.ndarray, d: np.ndarray, size: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    t = -o[:, 2] / d[:, 2]
    return _accept(t, np.isfinite(t)), np.broadcast_to(np.array([0, 0, -1], np.float32), d.shape)


_INTERSECT = {BACKGROUND: _wall, GROUND: _plane, SPHERE: _sphere, BOX: _box, CYLINDER: _cylinder, CONE: _cone}


# Lower and upper limits along x, y, z: cylinders are slim, boxes low, cones steep, so that their outlines differ too.
_HALF_EXTENTS = {
    SPHERE: ((0.4, 0.8),) * 3,
    BOX: ((0.4, 0.85), (0.25, 0.55), (0.4, 0.85)),
    CYLINDER: ((0.25, 0.45), (0.6, 1.0), (0.25, 0.45)),
    CONE: ((0.4, 0.7), (0.55, 0.95), (0.4, 0.7)),
}


def _turn(angle: float) -> np.ndarray:
    c, s = math.cos(angle), math.sin(angle)
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]], np.float32)


def _shape(rng: np.random.Generator, kind: int, centre: list[float], turn: float, size: list[float]) -> _Shape:
    detail = 3 if kind in (BACKGROUND, GROUND) else 9
    colour = rng.uniform(0.15, 0.95, 3)
    palette = np.clip([colour, colour + rng.normal(0, 0.12, 3)], 0.05, 1)
    return _Shape(
        kind,
        np.array(centre, np.float32),
        _turn(turn),
        np.array(size, np.float32),
        palette.astype(np.float32),
        rng.normal(0, detail / math.sqrt(3), (3, 2)).astype(np.float32),
        int(rng.integers(3)),
    )


def _compose(rng: np.random.Generator) -> list[_Shape]:
    """A wall, the ground, and two to five shapes standing on it."""
    shapes = [
        _shape(rng, BACKGROUND, [0, 0, rng.uniform(5.5, 7.5)], rng.uniform(-0.4, 0.4), [0, 0, 0]),
        _shape(rng, GROUND, [0, 0, 0], rng.uniform(-math.pi, math.pi), [0, 0, 0]),
    ]
    for _ in range(rng.integers(2, 6)):
        kind = int(rng.integers(SPHERE, CONE + 1))
        z = rng.uniform(2.2, 5)
        x = rng.uniform(-0.42, 0.42) * z
        size = [rng.uniform(*limits) for limits in _HALF_EXTENTS[kind]]
        if kind != BOX:
            size[2] = size[0]
        if kind == SPHERE:
            size[1] = size[0]
        shapes.append(_shape(rng, kind, [x, size[1], z], rng.uniform(-math.pi, math.pi), size))
    return shapes


def _hit(shapes: list[_Shape], origin: np.ndarray, rays: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Nearest surface of each ray: parameter [N], normal [N, 3], index into `shapes` [N]."""
    t, normal = shapes[0].intersect(origin, rays)
    owner = np.zeros(len(rays), np.int64)
    for index, shape in enumerate(shapes[1:], 1):
        other, other_normal = shape.intersect(origin, rays)
        closer = np.flatnonzero(other < t)
        t[closer], normal[closer], owner[closer] = other[closer], other_normal[closer], index
    return t, normal, owner


def _edges(surface: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """1 at pixels with a neighbour that is another surface and not nearer, uint8 [h, w]; see `Scenes`."""
    edges = np.zeros(surface.shape, bool)
    for here, there in (((slice(1, None),), (slice(-1),)), ((slice(None), slice(1, None)), (slice(None), slice(-1)))):
        differs, ahead = surface[here] != surface[there], depth[here] - depth[there]
        edges[here] |= differs & (ahead <= 0)
        edges[there] |= differs & (ahead >= 0)
    return edges.astype(np.uint8)


def _saliency(owner: np.ndarray, first: int) -> np.ndarray:
    """1 on the most conspicuous shape (see `Scenes`), uint8 [h, w]. owner: shape index [h, w]; indices below `first` do not count."""
    height, width = owner.shape
    y, x = (np.arange(height) + 0.5 - height / 2)[:, None], np.arange(width) + 0.5 - width / 2
    weights = np.exp(-4 * (y * y + x * x) / (height * height + width * width))
    conspicuous = np.bincount(owner.ravel(), weights.ravel(), minlength=first + 1)
    conspicuous[:first] = 0
    return ((owner == conspicuous.argmax()) & (conspicuous.max() > 0)).astype(np.uint8)


def _render(rng: np.random.Generator, height: int, width: int) -> tuple[np.ndarray, ...]:
    """The fields of `Scenes` for one scene, without the axis N."""
    shapes = _compose(rng)
    pitch, eye = rng.uniform(0.15, 0.4), np.array([0, rng.uniform(1.3, 1.7), 0], np.float32)
    # Rows of `axes` are the camera's right, down and forward in world coordinates.
    axes = np.array(
        [[1, 0, 0], [0, -math.cos(pitch), -math.sin(pitch)], [0, -math.sin(pitch), math.cos(pitch)]], np.float32
    )
    focal = FOCAL * min(height, width)
    y, x = np.mgrid[:height, :width].reshape(2, -1).astype(np.float32)
    camera_rays = np.stack([(x + 0.5 - width / 2) / focal, (y + 0.5 - height / 2) / focal, np.ones_like(x)], -1)
    rays = camera_rays @ axes  # forward component 1, so the ray parameter is the depth

    depth, outward, owner = _hit(shapes, eye, rays)
    normal = outward * np.where(_dot(outward, rays) > 0, np.float32(-1), np.float32(1))[:, None]  # towards the viewer
    points = eye + depth[:, None] * rays
    lamp = np.array([rng.uniform(-1, 1), rng.uniform(1, 2), rng.uniform(-1.2, 0.2)], np.float32)
    lamp /= np.linalg.norm(lamp)
    blocked = np.zeros(len(rays), bool)
    with np.errstate(invalid="ignore"):
        start = points + np.float32(5e-3) * normal
    for shape in shapes[2:]:
        blocked |= np.isfinite(shape.intersect(start, lamp)[0])
    ambient = rng.uniform(0.2, 0.4)
    light = ambient + (1 - ambient) * np.maximum(normal @ lamp, 0) * ~blocked
    albedo = np.empty((len(rays), 3), np.float32)
    part, face = np.empty(len(rays), np.uint8), np.empty(len(rays), np.uint8)
    for index, shape in enumerate(shapes):
        mine = np.flatnonzero(owner == index)
        if len(mine):
            albedo[mine] = shape.colour(points[mine])
            part[mine], face[mine] = shape.part(points[mine], outward[mine]), shape.face(outward[mine])
    radiance = np.clip(albedo, 0, 1) * light[:, None] + 0.012 * rng.standard_normal(albedo.shape, np.float32)
    image = np.clip(np.rint(255 * np.clip(radiance, 0, 1) ** (1 / 1.6)), 0, 255).astype(np.uint8)
    kinds = np.array([shape.kind for shape in shapes], np.uint8)
    depth, owner = depth.astype(np.float32).reshape(height, width), owner.reshape(height, width)
    return (
        image.reshape(height, width, 3),
        kinds[owner],
        depth,
        (normal @ axes.T).astype(np.float32).reshape(height, width, 3),
        part.reshape(height, width),
        _saliency(owner, 2),
        _edges(8 * owner + face.reshape(height, width), depth),
    )


def render(count: int, height: int, width: int, seed: int, first: int = 0) -> Scenes:
    """Scenes `first` to `first + count - 1` of the endless sequence that `seed` selects, height x width pixels."""
    segmentation, parts, saliency, edges = (np.empty((count, height, width), np.uint8) for _ in range(4))
    scenes = Scenes(
        np.empty((count, height, width, 3), np.uint8),
        segmentation,
        np.empty((count, height, width), np.float32),
        np.empty((count, height, width, 3), np.float32),
        parts,
        saliency,
        edges,
    )
    for index in range(count):
        rng = np.random.default_rng([seed, first + index])
        for field, value in zip(dataclasses.fields(Scenes), _render(rng, height, width)):
            getattr(scenes, field.name)[index] = value
    return scenes

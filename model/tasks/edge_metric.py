"""The edge detection metric: precision and recall of thin edges, matched one to one within a tolerance.

This is the BSDS protocol (Martin, Fowlkes and Malik, Learning to detect natural image boundaries, PAMI 2004) as implemented in
SEISM, which the multi-task papers run (github.com/jponttuset/seism: `eval_cont.m`, `edgesEvalImg.m`, `general_ods.m`).

As in SEISM, thresholding is followed by thinning and no other non-maximum suppression. What differs:

- SEISM finds a matching of least cost by an approximate reduction, where an unmatched pixel costs 100 times the tolerance; here
  the matching has as many pairs as possible, which is what those costs aim for. The counts can differ by a few pixels; which
  pixels are paired does not affect them.
- The papers' code rounds probabilities to 8 bits before comparing them with the thresholds; here they are not rounded.
- The ground truth is the data set's edge map, thinned; SEISM draws its own from label maps and thins that.
- Invalid pixels, a notion SEISM does not have, count neither as found nor as true.
"""

import numpy as np

from moesaic.model.tasks.metrics import Meter
from moesaic.model.tasks.targets import INVALID_LABEL
from moesaic.model.tasks.thinning import thin
from moesaic.spec.predictions import probability

THRESHOLDS = np.arange(1, 100) / 100
TOLERANCE = 0.0075
"""Largest distance between matched pixels, as a fraction of the image's diagonal: SEISM's own; on NYUD-v2 the papers take 0.011."""


class _Truth:
    """Edge pixels of one image [h, w], ready to be matched within `radius` pixels."""

    def __init__(self, edges: np.ndarray, radius: float) -> None:
        self._margin = reach = int(radius)
        y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
        squared = y * y + x * x
        near = squared <= radius * radius
        self._offsets = (y * (edges.shape[1] + 2 * reach) + x)[near][np.argsort(squared[near], kind="stable")]
        self._places = self._padded_places(edges)
        self._shape = np.add(edges.shape, 2 * reach)
        self.pixels = len(self._places)

    def matches(self, found: np.ndarray) -> int:
        """The largest number of disjoint pairs of a true pixel and a nearby pixel of `found`, bool [h, w]."""
        rows, columns = sorted((self._places, self._padded_places(found)), key=len)  # the smaller set seeks partners
        number = np.full(self._shape.prod(), -1)
        number[columns] = np.arange(len(columns))
        return _most_pairs(number[self._offsets[:, None] + rows], len(columns))

    def _padded_places(self, edges: np.ndarray) -> np.ndarray:
        return np.flatnonzero(np.pad(edges, self._margin))


def _most_pairs(candidates: np.ndarray, count: int) -> int:
    """The size of a maximum matching between rows and `count` columns.

    candidates: each row's possible columns, integers [tries, rows]; -1 means none. No column occurs twice in candidates[i], so
    all rows can make their i-th try at once. Augmenting paths extend this greedy matching: they are sought from all free rows at
    once, in trees that share no column, until no tree reaches a free column; then the matching is maximum (Berge, 1957). Most
    edge pixels find their partner greedily, and no order of the pixels makes the search for paths slow.
    """
    column_of, row_of = np.full(candidates.shape[1], -1), np.full(count, -1)
    free = np.arange(candidates.shape[1])
    for tried in candidates:
        columns = tried[free]
        takes = (columns >= 0) & (row_of[columns] < 0)
        column_of[free[takes]], row_of[columns[takes]] = columns[takes], free[takes]
        free = free[~takes]
    while _augment(candidates, column_of, row_of):
        pass
    return int((column_of >= 0).sum())


def _augment(candidates: np.ndarray, column_of: np.ndarray, row_of: np.ndarray) -> bool:
    """Enlarge a matching in place along disjoint augmenting paths; return whether there was one."""
    parent, root, end = np.full(len(row_of), -1), np.full(len(column_of), -1), np.full(len(column_of), -1)
    frontier = np.flatnonzero(column_of < 0)
    root[frontier] = frontier
    while len(frontier):
        columns = candidates[:, frontier]
        tries, places = np.nonzero((columns >= 0) & (parent[columns] < 0))
        columns, rows = columns[tries, places], frontier[places]
        parent[columns] = rows  # if several rows reach a column, the last one keeps it
        columns = columns[parent[columns] == rows]
        free = columns[row_of[columns] < 0]
        end[root[parent[free]]] = free
        columns = columns[(row_of[columns] >= 0) & (end[root[parent[columns]]] < 0)]
        frontier = row_of[columns]
        root[frontier] = root[parent[columns]]
    found = columns = end[end >= 0]
    while len(columns):
        rows = parent[columns]
        following = column_of[rows]
        column_of[rows], row_of[columns] = columns, rows
        columns = following[following >= 0]
    return len(found) > 0


class EdgeMeter(Meter):
    """odsF: the F-measure at the one threshold that is best for the whole set (optimal dataset scale); 0..1.

    Matched, found and true pixels are counted over all images at each of 99 thresholds: precision P = matched / found,
    recall R = matched / true, F = 2 P R / (P + R). tolerance: largest distance of a pair, as a fraction of the image's diagonal.
    """

    sums = ("_matched", "_found", "_true", "_pixels")

    def __init__(self, tolerance: float = TOLERANCE) -> None:
        self._tolerance = tolerance
        self._matched, self._found = np.zeros(len(THRESHOLDS), np.int64), np.zeros(len(THRESHOLDS), np.int64)
        self._true = self._pixels = 0

    def update(self, predictions: np.ndarray, targets: np.ndarray) -> None:
        """Add a batch: predictions [N, 1, h, w] logits, targets uint8 [N, h, w]."""
        for shown, target in zip(probability(predictions[:, 0]), targets):
            valid = target != INVALID_LABEL
            truth = _Truth(thin((target == 1)[None])[0] & valid, self._tolerance * float(np.hypot(*shown.shape)))
            # Masks at rising thresholds are nested, so masks of equal size are equal.
            sizes = shown.size - np.searchsorted(np.sort(shown, axis=None), THRESHOLDS)
            _, first, same = np.unique(sizes, return_index=True, return_inverse=True)
            masks = thin(shown >= THRESHOLDS[first, None, None]) & valid
            self._found += masks.sum((1, 2))[same]
            self._matched += np.array([truth.matches(mask) for mask in masks])[same]
            self._true += truth.pixels
            self._pixels += int(valid.sum())

    def result(self) -> float:
        """odsF of all batches so far; NaN if no pixel was valid, 0 if no pixel was true or none was found."""
        if not self._pixels:
            return float("nan")
        # 2 P R / (P + R) = 2 matched / (found + true)
        return float((2 * self._matched / np.maximum(self._found + self._true, 1)).max())

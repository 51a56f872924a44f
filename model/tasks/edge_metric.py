"""The metric of edge detection: precision and recall of thin edges, matched one to one within a tolerance.

The protocol of BSDS (Martin, Fowlkes and Malik, Learning to detect natural image boundaries, PAMI 2004) as SEISM has it, which
the multi-task papers run (github.com/jponttuset/seism: `eval_cont.m`, `edgesEvalImg.m`, `general_ods.m`). What differs:

- SEISM takes the matching of least cost, where an unmatched pixel costs 100 times the tolerance, and finds it by an
  approximate reduction; here it is a matching of the most pairs, which is what those costs ask for. Counts of the two can
  differ by a few pixels, never by the places of the pairs, which no count looks at.
- The papers' code rounds probabilities to 8 bits before they are compared with the thresholds.
- The truth is the data set's edge picture, thinned; SEISM draws it from label maps, and thins it too.
- Thresholding is followed by thinning, as in SEISM; there is no other non-maximum suppression in either.
- Invalid pixels, which SEISM does not know, count neither as found nor as truth.
"""

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from model.data.dataset import INVALID_LABEL
from model.data.thinning import thin
from spec.predictions import probability

THRESHOLDS = np.arange(1, 100) / 100
TOLERANCE = 0.0075
"""Largest distance of a matched pair, as a share of the image's diagonal."""


class _Truth:
    """Edge pixels of one image [h, w], ready to be matched within `radius` pixels."""

    def __init__(self, edges: np.ndarray, radius: float) -> None:
        self._margin = reach = int(radius)
        y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
        near = y * y + x * x <= radius * radius
        stride = edges.shape[1] + 2 * reach
        places = np.flatnonzero(np.pad(edges, reach))
        self._around = places[:, None] + (y * stride + x)[near]  # [truth pixels, places within the radius]
        self.pixels = len(places)

    def matches(self, found: np.ndarray) -> int:
        """The most pairs of a truth pixel and a pixel of `found`, bool [h, w], in which no pixel is twice."""
        number = np.full(np.add(found.shape, 2 * self._margin), -1)
        inside = number[self._margin : self._margin + found.shape[0], self._margin : self._margin + found.shape[1]]
        count = int(found.sum())
        inside[found] = np.arange(count)
        candidates = number.reshape(-1)[self._around]
        possible = candidates >= 0
        rows = np.concatenate([[0], possible.sum(1).cumsum()])
        columns = candidates[possible]
        graph = csr_array((np.ones(len(columns), bool), columns, rows), shape=(self.pixels, max(count, 1)))
        return int((maximum_bipartite_matching(graph, perm_type="column") >= 0).sum())


class EdgeMeter:
    """odsF: the F-measure at the threshold that is best for the whole set (optimal dataset scale); 0..1.

    At each of 99 thresholds, matched, found and true pixels are counted over all images; precision = matched / found,
    recall = matched / true, F = 2 P R / (P + R).
    """

    def __init__(self) -> None:
        self._matched, self._found = np.zeros(len(THRESHOLDS), np.int64), np.zeros(len(THRESHOLDS), np.int64)
        self._true = self._pixels = 0

    def update(self, predictions: np.ndarray, targets: np.ndarray) -> None:
        """predictions [N, 1, h, w] logits, targets [N, h, w]."""
        for shown, target in zip(probability(predictions[:, 0]), targets):
            valid = target != INVALID_LABEL
            truth = _Truth(thin((target == 1)[None])[0] & valid, TOLERANCE * float(np.hypot(*shown.shape)))
            # Masks of rising thresholds are nested, so those of equal size are equal.
            sizes = shown.size - np.searchsorted(np.sort(shown, axis=None), THRESHOLDS)
            _, first, same = np.unique(sizes, return_index=True, return_inverse=True)
            masks = thin(shown >= THRESHOLDS[first, None, None]) & valid
            self._found += masks.sum((1, 2))[same]
            self._matched += np.array([truth.matches(mask) for mask in masks])[same]
            self._true += truth.pixels
            self._pixels += int(valid.sum())

    def result(self) -> float:
        """Not a number without a valid pixel; 0 without a true or a found one."""
        if not self._pixels:
            return float("nan")
        # 2 P R / (P + R) = 2 matched / (found + true)
        return float((2 * self._matched / np.maximum(self._found + self._true, 1)).max())

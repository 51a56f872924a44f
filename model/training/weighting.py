"""Weights of the tasks' losses that change while a network trains: multi-task optimisation.

Every method gives the coefficients of a sum of losses. Those that change gradients do so as well: the direction that PCGrad, CAGrad and
Nash-MTL find is a linear combination of the tasks' gradients whose coefficients follow from their inner products. Unlike their authors'
code, which leaves heads alone, the coefficients apply to all parameters, also to those of one task.
"""

import math
from abc import ABC, abstractmethod

import numpy as np
import torch
from torch import Tensor

from moesaic.errors import UserError
from moesaic.model.recipes.recipe import TrainingConfiguration

_TEMPERATURE = 2.0  # of DWA
_ASYMMETRY = 1.5  # of GradNorm, alpha
_CONFLICT = 0.4  # of CAGrad, c
_WEIGHTS_RATE = 0.025  # of GradNorm and FAMO
_DECAY = 1e-3  # of FAMO, gamma
_SMALLEST = 1e-8


class Weighting(ABC):
    """Weights of K losses, by step. needs_products: of the gradients. needs_change: the losses after the step."""

    needs_products = False
    needs_change = False

    def __init__(self, count: int, training: TrainingConfiguration) -> None:
        self.count, self.training = count, training

    @abstractmethod
    def weights(self, losses: np.ndarray, products: np.ndarray, step: int) -> np.ndarray:
        """The weights, float64 [K], for a step with these losses [K]; products: inner products of their gradients [K, K]."""

    def changed(self, before: np.ndarray, after: np.ndarray) -> None:
        """Take in the losses of one batch before and after the step; most methods do not ask."""
        return

    @property
    def state(self) -> dict[str, np.ndarray]:
        """What is needed to go on, float64 arrays by name."""
        return {}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Go on from `state`."""
        vars(self).update({f"_{name}": np.array(value, np.float64) for name, value in state.items()})


class _WithState(Weighting):
    """A method whose state is the arrays in the attributes `kept`."""

    kept: tuple[str, ...] = ()

    @property
    def state(self) -> dict[str, np.ndarray]:
        return {name: np.array(getattr(self, f"_{name}"), np.float64) for name in self.kept}


class Uncertainty(_WithState):
    """Kendall et al., CVPR 2018: the sum of L / (2 exp(s)) + s / 2 with learned s, here by gradient descent at the learning rate.

    It stands where exp(s) is the loss, so that all weighted losses are equal. s starts at 0.
    """

    kept = ("logarithms",)

    def __init__(self, count: int, training: TrainingConfiguration) -> None:
        super().__init__(count, training)
        self._logarithms = np.zeros(count)

    def weights(self, losses: np.ndarray, products: np.ndarray, step: int) -> np.ndarray:
        weights = np.exp(-self._logarithms) / 2
        self._logarithms = self._logarithms + self.training.learning_rate * (weights * losses - 0.5)
        return weights


class DynamicWeightAverage(_WithState):
    """DWA (Liu et al., CVPR 2019, section 3.2): K softmax(r / 2), where r is the loss of a period relative to the one before.

    A period is `weighting_period` steps, in the paper an epoch; weights are 1 in the first two.
    """

    kept = ("sums", "means")

    def __init__(self, count: int, training: TrainingConfiguration) -> None:
        super().__init__(count, training)
        self._sums, self._means = np.zeros(count), np.full((2, count), np.nan)

    def weights(self, losses: np.ndarray, products: np.ndarray, step: int) -> np.ndarray:
        period = self.training.weighting_period
        if step and step % period == 0:
            self._means = np.stack([self._means[1], self._sums / period])
            self._sums = np.zeros(self.count)
        self._sums = self._sums + losses
        if np.isnan(self._means).any():
            return np.ones(self.count)
        return self.count * _softmax(self._means[1] / np.maximum(self._means[0], _SMALLEST) / _TEMPERATURE)


class GradNorm(_WithState):
    """Chen et al., ICML 2018: weights by which norms of gradients follow how slowly each loss has fallen (alpha = 1.5).

    The weights descend the sum of |w n - mean(w n) r^alpha| at a rate of 0.025 over the mean norm, n being the norms and r the relative
    inverse training rate, and are then scaled to the sum K.
    """

    kept = ("current", "first")
    needs_products = True

    def __init__(self, count: int, training: TrainingConfiguration) -> None:
        super().__init__(count, training)
        self._current, self._first = np.ones(count), np.full(count, np.nan)

    def weights(self, losses: np.ndarray, products: np.ndarray, step: int) -> np.ndarray:
        if np.isnan(self._first).any():
            self._first = losses
        given, norms = self._current, np.sqrt(products.diagonal())
        rate = losses / np.maximum(self._first, _SMALLEST)
        rate = rate / max(float(rate.mean()), _SMALLEST)
        goal = (given * norms).mean() * rate**_ASYMMETRY
        slope = np.sign(given * norms - goal) * norms
        moved = np.maximum(given - _WEIGHTS_RATE * slope / max(float(norms.mean()), _SMALLEST), 1e-3)
        self._current = self.count * moved / moved.sum()
        return given


class PCGrad(Weighting):
    """Yu et al., NeurIPS 2020: each gradient is projected, in random order, onto the normal planes of those that conflict with it."""

    needs_products = True

    def weights(self, losses: np.ndarray, products: np.ndarray, step: int) -> np.ndarray:
        rng, total = np.random.default_rng([self.training.seed, step]), np.zeros(self.count)
        for task in range(self.count):
            own = np.eye(self.count)[task]
            for other in rng.permutation([k for k in range(self.count) if k != task]):
                conflict = own @ products[:, other]
                if conflict < 0:
                    own[other] -= conflict / products[other, other]
            total += own
        return total


class CAGrad(Weighting):
    """Liu et al., NeurIPS 2021, algorithm 1 with c = 0.4: the worst local improvement is maximised in a ball about the mean gradient.

    Scaled as in the authors' code (github.com/Cranial-XIX/CAGrad): by K / (1 + c^2).
    """

    needs_products = True

    def weights(self, losses: np.ndarray, products: np.ndarray, step: int) -> np.ndarray:
        from scipy.optimize import minimize

        scale = max(float(products.diagonal().mean()), _SMALLEST)
        gram, mean = products / scale, np.full(self.count, 1 / self.count)
        radius = _CONFLICT * math.sqrt(mean @ gram @ mean + _SMALLEST)
        found = minimize(
            lambda w: w @ gram @ mean + radius * math.sqrt(w @ gram @ w + _SMALLEST),
            mean,
            bounds=[(0, 1)] * self.count,
            constraints={"type": "eq", "fun": lambda w: 1 - w.sum()},
            method="SLSQP",
        ).x
        pull = radius / math.sqrt(found @ gram @ found + _SMALLEST)
        return self.count * (mean + pull * found) / (1 + _CONFLICT**2)


class NashMTL(Weighting):
    """Navon et al., ICML 2022: weights a with G'G a = 1 / a, element by element, G'G being the inner products over their norm.

    They minimise the strictly convex a' G'G a / 2 - sum(ln a), which Newton's method finds. A small multiple of the identity, added for
    gradients of length 1, bounds them where gradients oppose one another.
    """

    needs_products = True

    def weights(self, losses: np.ndarray, products: np.ndarray, step: int) -> np.ndarray:
        gram = products / max(float(np.linalg.norm(products)), 1e-30)
        scale = np.sqrt(np.maximum(gram.diagonal(), 1e-12))
        gram, a = gram / np.outer(scale, scale) + 1e-6 * np.eye(self.count), np.ones(self.count)
        for _ in range(100):
            slope = gram @ a - 1 / a
            move = np.linalg.solve(gram + np.diag(1 / a**2), slope)
            decrement = float(slope @ move)
            if decrement < 1e-18:
                break
            a = a - move / (
                1 + math.sqrt(decrement)
            )  # damped, so that a stays positive: the function is self-concordant
        return a / scale


class FAMO(_WithState):
    """Liu et al., NeurIPS 2023: weights softmax(w) of the losses' logarithms, which follow how much each has fallen in the step.

    As in the authors' code (github.com/Cranial-XIX/FAMO): Adam at 0.025 with a decay of 1e-3, and the losses' lower bound is 0.
    """

    kept = ("logits", "mean", "square", "steps")
    needs_change = True

    def __init__(self, count: int, training: TrainingConfiguration) -> None:
        super().__init__(count, training)
        self._logits, self._mean, self._square, self._steps = (np.zeros(count) for _ in range(4))

    def weights(self, losses: np.ndarray, products: np.ndarray, step: int) -> np.ndarray:
        share = _softmax(self._logits) / (losses + _SMALLEST)
        return share / share.sum()

    def changed(self, before: np.ndarray, after: np.ndarray) -> None:
        fallen, share = np.log(before + _SMALLEST) - np.log(after + _SMALLEST), _softmax(self._logits)
        slope = share * (fallen - share @ fallen) + _DECAY * self._logits
        self._steps = self._steps + 1
        self._mean = 0.9 * self._mean + 0.1 * slope
        self._square = 0.999 * self._square + 0.001 * slope**2
        mean, square = self._mean / (1 - 0.9**self._steps), self._square / (1 - 0.999**self._steps)
        self._logits = self._logits - _WEIGHTS_RATE * mean / (np.sqrt(square) + _SMALLEST)


_METHODS: dict[str, type[Weighting]] = {
    "uncertainty": Uncertainty,
    "dwa": DynamicWeightAverage,
    "gradnorm": GradNorm,
    "pcgrad": PCGrad,
    "cagrad": CAGrad,
    "nash-mtl": NashMTL,
    "famo": FAMO,
}


def build_weighting(training: TrainingConfiguration, count: int, ranks: int) -> Weighting | None:
    """The recipe's method for `count` tasks; None for fixed weights.

    UserError for a batch in parts, and for a method that takes gradients apart with several ranks or in float16.
    """
    if training.weighting == "fixed":
        return None
    method = _METHODS[training.weighting]
    apart = method.needs_products or method.needs_change
    for problem, what in (
        (training.accumulate > 1, f"accumulate = {training.accumulate}"),
        (apart and ranks > 1, f"{ranks} processes"),
        (apart and training.precision == "float16", "precision = 'float16'"),
    ):
        if problem:
            raise UserError(
                f"weighting {training.weighting!r} does not go with {what}: choose another, or train without"
            )
    return method(count, training)


def gradient_products(losses: list[Tensor], parameters: list[Tensor]) -> np.ndarray:
    """Inner products of the losses' gradients, float64 [K, K], over the parameters on which more than one loss depends."""
    gradients = [torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True) for loss in losses]
    found = torch.zeros(len(losses), len(losses), dtype=torch.float64)
    for of_losses in zip(*gradients, strict=True):
        if sum(gradient is not None for gradient in of_losses) > 1:
            rows = [torch.zeros(()).expand(1) if g is None else g.detach().double().flatten().cpu() for g in of_losses]
            length = max(map(len, rows))
            stacked = torch.stack(
                [row if len(row) == length else torch.zeros(length, dtype=torch.float64) for row in rows]
            )
            found += stacked @ stacked.T
    return found.numpy()


def _softmax(values: np.ndarray) -> np.ndarray:
    powers = np.exp(values - values.max())
    return powers / powers.sum()

"""Choosing pathways: the experts that matter most to a task, within a budget.

Experts are ranked by `ExpertUsage.mass`: the sum of the router scores with which the task's tokens chose them. Every block routes the
same number of tokens, so the masses of different blocks can be compared directly.
"""

import re
from dataclasses import dataclass

import numpy as np

from moesaic.errors import UserError
from moesaic.model.pathways.pathway import Experts
from moesaic.model.pathways.usage import ExpertUsage, Usage

SCOPES = ("layer", "task")


@dataclass(frozen=True)
class Budget:
    """How much of the network a task may use.

    experts: number of experts kept, in every MoE block (scope "layer") or in all of them together (scope "task"). top_k: experts per
    token; None means the model's, or less if the budget keeps fewer experts. UserError for a budget that keeps nothing, an unknown
    scope, or a top-k above the experts of a layer.
    """

    experts: int
    top_k: int | None = None
    scope: str = "layer"

    def __post_init__(self) -> None:
        if self.scope not in SCOPES:
            raise UserError(f"unknown scope {self.scope!r} of a budget: choose from {', '.join(SCOPES)}")
        if self.experts < 1 or (self.top_k is not None and self.top_k < 1):
            raise UserError(f"a budget of {self} keeps nothing: choose 1 or more experts and a top-k of 1 or more")
        if self.top_k is not None and self.scope == "layer" and self.top_k > self.experts:
            raise UserError(
                f"a token cannot go to {self.top_k} of {self.experts} experts: lower the top-k or keep more experts"
            )

    def __str__(self) -> str:
        return f"{self.experts}" + ("" if self.top_k is None else f"x{self.top_k}")

    @classmethod
    def parse(cls, text: str, scope: str = "layer") -> "Budget":
        """The budget written as EXPERTS or EXPERTSxTOPK, such as 8x2. UserError for another form, or a budget that keeps nothing."""
        match = re.fullmatch(r"(\d+)(?:x(\d+))?", text)
        if not match:
            raise UserError(f"budget {text!r} is not EXPERTS or EXPERTSxTOPK, such as 8 or 8x2")
        return cls(int(match[1]), int(match[2]) if match[2] else None, scope)


def choose_experts(usage: Usage, budget: Budget) -> dict[str, Experts]:
    """By task: the experts kept under the budget; ties go to the lowest block and then the lowest index.

    With scope "task", every block first keeps as many of its best experts as the budget's top-k (1 without one); the rest of the
    budget goes to the best remaining experts of all blocks. UserError if the budget exceeds the network, or is too small for this.
    """
    if not any(usage.values()):
        raise UserError(f"a budget of {budget} experts is for a network that has some: this one has no experts")
    choose = _choose_over_task if budget.scope == "task" else _choose_per_layer
    return {task: choose(blocks, budget) for task, blocks in usage.items()}


def _ranked(usage: ExpertUsage) -> np.ndarray:
    return np.argsort(-usage.mass, kind="stable")


def _choose_per_layer(blocks: dict[int, ExpertUsage], budget: Budget) -> Experts:
    kept = {}
    for i, usage in blocks.items():
        if budget.experts > len(usage.mass):
            raise UserError(
                f"cannot keep {budget.experts} experts of {len(usage.mass)}: choose from 1 to {len(usage.mass)}"
            )
        kept[i] = _ascending(_ranked(usage)[: budget.experts])
    return kept


def _choose_over_task(blocks: dict[int, ExpertUsage], budget: Budget) -> Experts:
    if not blocks:
        return {}
    least = budget.top_k or 1
    low, high = least * len(blocks), sum(len(usage.mass) for usage in blocks.values())
    if not low <= budget.experts <= high:
        raise UserError(
            f"cannot keep {budget.experts} experts in {len(blocks)} MoE blocks, {least} or more in each: choose from {low} to {high}"
        )
    kept = {i: list(_ranked(usage)[:least]) for i, usage in blocks.items()}
    others = [(-usage.mass[e], i, e) for i, usage in blocks.items() for e in range(len(usage.mass)) if e not in kept[i]]
    for _, i, e in sorted(others)[: budget.experts - low]:
        kept[i].append(e)
    return {i: _ascending(experts) for i, experts in kept.items()}


def _ascending(experts: np.ndarray | list) -> tuple[int, ...]:
    return tuple(sorted(int(e) for e in experts))

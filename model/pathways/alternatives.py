"""Several pathways per task in one quantised network: one set of weights and scales, and router rows for each pathway."""

import dataclasses

import numpy as np

from moesaic.errors import UserError
from moesaic.model.network.vit import M3ViT
from moesaic.model.pathways.budgets import Budget, choose_experts
from moesaic.model.pathways.pathway import Experts, Pathways, moe_blocks, pathway_of, whole_network
from moesaic.model.pathways.usage import Usage
from moesaic.spec.bundle import Alternative, Task
from moesaic.spec.pathway_names import is_alternative_name, pathway_name

Tensors = dict[str, np.ndarray]
"""A network's integer tensors by name; `moesaic.spec.bundle` lists their shapes and dtypes."""


@dataclasses.dataclass(frozen=True)
class PathwayPlan:
    """The pathways that a network will have. default: each task's own. alternatives: further sets of pathways by name."""

    default: Pathways
    alternatives: dict[str, Pathways] = dataclasses.field(default_factory=dict)

    @property
    def every(self) -> list[Pathways]:
        """The default pathways, then the alternatives."""
        return [self.default, *self.alternatives.values()]

    @property
    def union(self) -> Pathways:
        """For each task, the experts that any of its pathways needs, with the top-k of its default pathway."""
        return {task: Alternative(own.top_k, self._union_of(task)) for task, own in self.default.items()}

    def _union_of(self, task: str) -> Experts:
        blocks = self.default[task].pathway
        return {i: tuple(sorted({e for one in self.every for e in one[task].pathway[i]})) for i in blocks}


def parse_alternatives(texts: list[str], scope: str = "layer") -> dict[str, Budget]:
    """Budgets by name from texts NAME=BUDGET such as fast=8x1. UserError for another form, an invalid name or a name given twice.

    scope: of every budget, "layer" or "task".
    """
    budgets: dict[str, Budget] = {}
    for text in texts:
        name, separator, budget = text.partition("=")
        if not separator or not is_alternative_name(name):
            raise UserError(f"alternative {text!r} is not NAME=EXPERTSxTOPK with a name of letters, digits, - and _")
        if name in budgets:
            raise UserError(f"alternative {name} is given twice, {budgets[name]} and {budget}: name one differently")
        budgets[name] = Budget.parse(budget, scope)
    return budgets


def plan_pathways(model: M3ViT, usage: Usage, default: Budget | None, alternatives: dict[str, Budget]) -> PathwayPlan:
    """All tasks' pathways under these budgets; None as default means the whole network. UserError if a budget cannot be met."""
    own = whole_network(model) if default is None else pathways_within(model, usage, default)
    return PathwayPlan(own, {name: pathways_within(model, usage, budget) for name, budget in alternatives.items()})


def pathways_within(model: M3ViT, usage: Usage, budget: Budget) -> dict[str, Alternative]:
    """Each task's experts and top-k under a budget. UserError if the budget cannot be met.

    Without a top-k of its own, the budget has the model's, or less if it keeps fewer experts per block.
    """
    if budget.top_k is None:
        blocks = len(moe_blocks(model)) if budget.scope == "task" else 1
        top_k = max(min(model.configuration.top_k, budget.experts // max(blocks, 1)), 1)
    else:
        top_k = budget.top_k
    chosen = choose_experts(usage, dataclasses.replace(budget, top_k=top_k))
    return {task: pathway_of(experts, top_k) for task, experts in chosen.items()}


def add_alternatives(plan: PathwayPlan, tasks: dict[str, Task], tensors: Tensors) -> tuple[dict[str, Task], Tensors]:
    """Tasks and tensors of a network with all of the plan's pathways, from one quantised with the plan's union of experts.

    tensors: integers by name; moesaic.spec.bundle lists shapes and dtypes. The rows of a router are quantised one by one, so a
    pathway's router consists of its experts' rows, exact to the bit; nothing else is added.
    """
    union, result = plan.union, {name: value for name, value in tensors.items() if ".router." not in name}
    for alternative, pathways in {None: plan.default, **plan.alternatives}.items():
        for task, one in pathways.items():
            for i, experts in one.pathway.items():
                rows = [union[task].pathway[i].index(e) for e in experts]
                source, target = (f"blocks.{i}.router.{name}" for name in (task, pathway_name(task, alternative)))
                for part in ("weight", "bias", "multiplier", "shift"):
                    result[f"{target}.{part}"] = tensors[f"{source}.{part}"][rows]
    return {
        name: dataclasses.replace(
            task,
            top_k=plan.default[name].top_k,
            pathway=plan.default[name].pathway,
            alternatives={alternative: others[name] for alternative, others in plan.alternatives.items()},
        )
        for name, task in tasks.items()
    }, result

"""Alternative pathways from the float network to the machine: each is exactly the network that has it alone."""

import numpy as np
import pytest

from moesaic.errors import UserError
from moesaic.hls.compiler.generate import generate
from moesaic.model.pathways.alternatives import (
    PathwayPlan,
    parse_alternatives,
    pathways_within,
    plan_pathways,
)
from moesaic.model.pathways.budgets import Budget
from moesaic.model.pathways.pathway import pathways_of, whole_network
from moesaic.model.pathways.usage import measure_usage
from moesaic.model.quantisation.integer import IntegerNetwork
from moesaic.model.quantisation.post_training import integer_network
from moesaic.spec.bundle import Alternative, Bundle, check_tensors, pathways
from moesaic.spec.configuration import load_configuration
from moesaic.spec.machine import ReferenceMachine
from tests.model.routing import current_pathways

TASKS = ("segmentation", "depth", "normals")
ALTERNATIVES = {"half": Budget(3, 2), "fast": Budget(2, 1), "lean": Budget(5, 1, "task")}


@pytest.fixture
def plan(model, pictures) -> PathwayPlan:
    return plan_pathways(model, measure_usage(model, pictures), Budget(4, 2), ALTERNATIVES)


@pytest.fixture
def network(model, pictures, plan) -> IntegerNetwork:
    return integer_network(model, pictures, plan)


def alone(network: IntegerNetwork, name: str) -> IntegerNetwork:
    """The network with one of its pathways and no other, its tensors renamed."""
    task = name.partition("@")[0]
    tensors = {}
    for tensor, value in network.tensors.items():
        if f".router.{name}." in tensor:
            tensors[tensor.replace(f".router.{name}.", f".router.{task}.")] = value
        elif ".router." not in tensor:
            tensors[tensor] = value
    return IntegerNetwork(network.architecture, {task: pathways(network.tasks)[name]}, tensors)


def test_an_alternative_is_the_network_that_has_it_alone(network, pictures):
    different = 0
    for name in pathways(network.tasks):
        expected = alone(network, name).run(pictures[:2], name.partition("@")[0])
        assert np.array_equal(network.run(pictures[:2], name), expected), name
        different += not np.array_equal(expected, network.run(pictures[:2], name.partition("@")[0]))
    assert different == len(TASKS) * len(ALTERNATIVES)


def test_a_router_has_the_rows_that_the_whole_router_has(model, pictures, plan, network):
    """Quantised alone, with the same scales, a pathway's router would be the same: rows do not influence one another."""
    whole = integer_network(model, pictures).tensors
    for name, task in pathways(network.tasks).items():
        for i, kept in task.pathway.items():
            source = f"blocks.{i}.router.{name.partition('@')[0]}"
            found = network.tensors[f"blocks.{i}.router.{name}.weight"].astype(float)
            expected = whole[f"{source}.weight"][list(kept)].astype(float)
            assert found.shape == expected.shape
            cosine = (found * expected).sum(1) / np.linalg.norm(found, axis=1) / np.linalg.norm(expected, axis=1)
            assert cosine.min() > 0.99, name


def test_only_experts_that_some_pathway_keeps_are_there(model, pictures):
    usage = measure_usage(model, pictures)
    plan = plan_pathways(model, usage, Budget(2, 2), {"one": Budget(1, 1)})
    network = integer_network(model, pictures, plan)
    check_tensors(Bundle("b", network.architecture, network.tasks, network.tensors, {}))
    for i in (1, 3):
        wanted = {e for task in pathways(network.tasks).values() for e in task.pathway[i]}
        found = {
            int(name.split(".")[3])
            for name in network.tensors
            if name.startswith(f"blocks.{i}.experts.") and ".up." in name
        }
        assert found == wanted
    assert len(wanted) < 6
    assert network.tasks["depth"].pathway == pathways_within(model, usage, Budget(2, 2))["depth"].pathway


def test_the_network_has_the_plan_and_the_model_is_left_whole(model, plan, network):
    assert current_pathways(model) == whole_network(model)
    assert pathways_of(network.tasks) == plan.default
    for name, others in plan.alternatives.items():
        assert pathways_of(network.tasks, name) == others


def test_without_a_budget_the_default_is_the_whole_network(model, pictures):
    plan = plan_pathways(model, measure_usage(model, pictures), None, {})
    network = integer_network(model, pictures, plan)
    assert pathways_of(network.tasks) == plan.default == whole_network(model)
    assert network.tasks["normals"].pathway[1] == (0, 1, 2, 3, 4, 5) and network.tasks["normals"].top_k == 2


# --- degenerate budgets --------------------------------------------------------------------------------------------------


def assert_machine_agrees(model, network, image) -> None:
    bundle = Bundle("b", network.architecture, network.tasks, network.tensors, {})
    check_tensors(bundle)
    build = generate(bundle, load_configuration("tiny"))
    machine, memory = ReferenceMachine(build.configuration), build.new_memory()
    for name in pathways(network.tasks):
        build.write_image(memory.frame, image)
        machine.run(build.task(name).program, memory, 0)
        assert np.array_equal(build.read_output(memory.frame, name), network.run(image[None], name)[0]), name


def test_the_machine_gives_every_alternative(model, network, pictures):
    assert_machine_agrees(model, network, pictures[0])


def test_one_expert_for_every_task(model, pictures):
    plan = plan_pathways(model, measure_usage(model, pictures), Budget(1), {})
    assert all(one.top_k == 1 for one in plan.default.values())  # the model's top-k of 2 is lowered
    network = integer_network(model, pictures, plan)
    record = {}
    network.run(pictures[:1], "depth", record)
    assert record["blocks.1.router"].shape == (1, 17, 1)
    assert_machine_agrees(model, network, pictures[0])


@pytest.mark.parametrize(("experts", "top_k"), [(2, 1), (3, 1), (4, 2), (9, 2), (12, 2)])
def test_over_a_task_the_models_top_k_stays_where_the_budget_lets_it(model, pictures, experts, top_k):
    chosen = pathways_within(model, measure_usage(model, pictures), Budget(experts, scope="task"))
    for one in chosen.values():
        assert one.top_k == top_k and sum(map(len, one.pathway.values())) == experts
        assert min(map(len, one.pathway.values())) >= top_k


def test_tasks_that_share_no_expert(model, pictures):
    own = {task: {1: (2 * n, 2 * n + 1), 3: (2 * n, 2 * n + 1)} for n, task in enumerate(TASKS)}
    plan = PathwayPlan({task: Alternative(2, blocks) for task, blocks in own.items()})
    network = integer_network(model, pictures, plan)
    assert sum(".experts." in name and name.endswith("up.weight") for name in network.tensors) == 12
    assert_machine_agrees(model, network, pictures[0])


def test_an_alternative_may_have_more_experts_than_the_default(model, pictures):
    plan = plan_pathways(model, measure_usage(model, pictures), Budget(1), {"all": Budget(6, 6)})
    network = integer_network(model, pictures, plan)
    assert network.tasks["depth"].alternatives["all"].top_k == 6
    assert_machine_agrees(model, network, pictures[0])


def test_pruned_outputs_are_close_to_float(model, network, pictures, plan):
    for alternative, one in {None: plan.default, **plan.alternatives}.items():
        own = integer_network(model, pictures, PathwayPlan(one))
        for task in TASKS:
            found = network.predict(pictures, task if alternative is None else f"{task}@{alternative}")
            expected = own.predict(pictures, task)
            assert np.sqrt(np.square(found - expected).mean()) / expected.std() < 0.1, (alternative, task)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["fast"], "'fast' is not NAME=EXPERTSxTOPK"),
        (["=8"], "is not NAME="),
        (["a.b=8"], "letters, digits, - and _"),
        (["a=8", "a=4x1"], "alternative a is given twice, 8 and 4x1"),
        (["a=b"], "budget 'b' is not"),
        (["a=1x2"], "cannot go to 2 of 1 experts"),
    ],
)
def test_bad_alternatives_are_refused(texts, message):
    with pytest.raises(UserError, match=message):
        parse_alternatives(texts)

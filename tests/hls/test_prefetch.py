from dataclasses import replace

import numpy as np
import pytest

from moesaic.errors import UserError
from moesaic.hls.compiler.generate import generate
from moesaic.hls.compiler.lowering import lower_program
from moesaic.hls.compiler.schedule import Schedule
from moesaic.hls.compiler.weightless import weightless_target
from moesaic.model.recipes.recipe import load_recipe
from moesaic.spec.build import Build
from moesaic.spec.configuration import HardwareConfiguration, load_configuration
from moesaic.spec.executor import Memory
from moesaic.spec.isa import PARAMETER_ENTRY, LoadDestination, Unit, semaphore
from moesaic.spec.issue import Issued, read_program
from moesaic.spec.joint_programs import one_picture
from moesaic.spec.machine import ReferenceMachine
from tests.hls.networks import ODD, SMALL, network, picture

TINY = load_configuration("tiny")


def with_weight_bytes(size: int) -> HardwareConfiguration:
    return replace(TINY, name=f"weight{size}", weight_bytes=size, shared_bytes=0)


def program_of(build: Build, task: str) -> list[Issued]:
    return list(read_program(build.tasks[task].program, build.constants, build.configuration))


def frame_after(build: Build, task: str, architecture) -> tuple[np.ndarray, dict[str, int]]:
    memory: Memory = build.new_memory()
    build.write_image(memory.frame, picture(architecture, 1))
    counters = ReferenceMachine(build.configuration).run(build.tasks[task].program, memory, 0)
    return memory.frame, counters


def smallest_that_fits(architecture) -> int:
    size = TINY.weight_word_bytes
    while True:
        try:
            generate(network(architecture, 0), with_weight_bytes(size))
            return size
        except UserError:
            size += 8 * TINY.weight_word_bytes


@pytest.mark.parametrize("architecture", [SMALL, ODD], ids=["small", "odd"])
def test_room_for_weights_changes_when_they_are_loaded_and_nothing_else(architecture) -> None:
    """From the least memory, where every load waits for the layer before it, to one that holds everything."""
    least = smallest_that_fits(architecture)
    results = {}
    for size in (least, 3 * least // 2 // 32 * 32, 1 << 20):
        build = generate(network(architecture, 0), with_weight_bytes(size))
        results[size] = {task: frame_after(build, task, architecture)[0] for task in build.tasks}
    first = results[least]
    assert all(np.array_equal(result[task], first[task]) for result in results.values() for task in first)


def test_one_byte_too_few_is_refused_with_both_numbers() -> None:
    least = smallest_that_fits(SMALL)
    with pytest.raises(UserError, match=r"needs (\d+) bytes of weight memory, (\d+) are available") as caught:
        generate(network(SMALL, 0), with_weight_bytes(least - 8 * TINY.weight_word_bytes))
    needed, available = (int(word) for word in str(caught.value).split() if word.isdigit())
    assert needed > available


def test_with_room_all_weights_are_ahead_of_the_first_product() -> None:
    build = generate(network(SMALL, 0), with_weight_bytes(1 << 20))
    program = program_of(build, "normals")
    first = [i.name for i in program].index("matmul")
    assert not any(i.name == "load" and i.fields["destination"] == LoadDestination.WEIGHT for i in program[first:])


def test_loads_of_experts_after_their_router_are_skipped_when_nobody_chose_them() -> None:
    """Only the loads that wait for the router are conditional, and a skipped load takes no beats."""
    bundle, least = network(SMALL, 0), smallest_that_fits(SMALL)
    build = generate(bundle, with_weight_bytes(least))
    program = program_of(build, "normals")
    conditional = [i.fields for i in program if i.name == "load" and i.fields["skip_if_empty"]]
    routed = [i.index for i in program if i.name == "route"]
    first = next(i.index for i in program if i.name == "load" and i.fields["skip_if_empty"])
    assert conditional and first > routed[0]
    assert any(fields["wait_mask"] >> semaphore(Unit.ROUTE, Unit.LOAD) & 1 for fields in conditional)

    for name in ("multiplier", "bias"):
        bundle.tensors[f"blocks.1.router.normals.{name}"][:] = 0
    bundle.tensors["blocks.1.router.normals.multiplier"][:] = 1 << 15
    bundle.tensors["blocks.1.router.normals.shift"][:] = 0
    bundle.tensors["blocks.1.router.normals.weight"][:] = 0
    bundle.tensors["blocks.1.router.normals.bias"][:2] = 1000
    one_sided = generate(bundle, with_weight_bytes(least))
    _, everything = frame_after(build, "normals", SMALL)
    _, skipping = frame_after(one_sided, "normals", SMALL)
    unused = [fields["bytes"] for fields in conditional if fields["queue"] >= 2]
    assert everything["read_beats"] - skipping["read_beats"] == sum(unused) // 16 > 0


def test_an_expert_of_4_bits_takes_half_the_bytes_in_two_loads_beside_each_other() -> None:
    """Its parameters as they are, then its weights, which are unpacked; the second need not wait for the first."""
    loads = []
    for architecture in (SMALL, replace(SMALL, four_bit_experts={1: (2,)})):
        build = generate(network(architecture, 0), TINY)
        program = [i for i in program_of(build, "normals") if build.tags[i.fields["tag"]] == "blocks.1.experts.2.up"]
        loads.append([i.fields for i in program if i.name == "load"])
    (plain,), (parameters, weights) = loads
    assert not plain["unpack"] and not parameters["unpack"] and weights["unpack"] and weights["overlap"]
    assert parameters["bytes"] == SMALL.expert_hidden * PARAMETER_ENTRY.itemsize
    assert parameters["bytes"] + 2 * weights["bytes"] == plain["bytes"]
    assert weights["local_address"] == parameters["local_address"] + parameters["bytes"]


@pytest.mark.parametrize("tokens", [1, 3])
def test_tokens_on_their_own_load_the_experts_that_they_chose_and_no_others(tokens: int) -> None:
    """Patch reordering off: with one token at a time, DRAM bytes of experts are tokens * top_k * bytes of an expert."""
    bundle = network(SMALL, 0)
    build = generate(bundle, TINY, schedule=Schedule(expert_tokens=tokens))
    task = bundle.tasks["normals"]
    loads = [i.fields for i in program_of(build, "normals") if i.name == "load"]
    experts = [fields for fields in loads if fields["skip_if_empty"]]
    groups, kept = -(-SMALL.tokens // tokens), len(task.pathway[1])
    assert len(experts) == groups * kept * 2
    one = sum(fields["bytes"] for fields in experts) // (groups * kept)

    used = 0

    def watch(name: str, fields: dict[str, int], machine: ReferenceMachine) -> None:
        nonlocal used
        if name == "route":
            used += np.count_nonzero(machine.queue_count[:kept])

    memory = build.new_memory()
    build.write_image(memory.frame, picture(SMALL, 1))
    counters = ReferenceMachine(TINY, observe=watch).run(build.tasks["normals"].program, memory, 0)
    always = sum(
        fields["bytes"] * fields["count_1"] * fields["count_2"] * fields["count_3"]
        for fields in loads
        if not fields["skip_if_empty"]
    )
    code = build.tasks["normals"].program.size
    assert 16 * counters["read_beats"] - always - code == used * one
    assert used == SMALL.tokens * task.top_k if tokens == 1 else used < groups * kept


@pytest.mark.parametrize("config", ["zcu104", "zcu104-full"])
def test_a_router_that_serves_several_groups_of_tokens_leaves_room_for_weights(config) -> None:
    """Of m3vit_small at 480x640 all blocks are lowered: where the weight memory is full goes round with them."""
    model = replace(load_recipe("m3vit_small").model, image_height=480, image_width=640)
    tasks = {task: model.bundle_task(task, whole) for task, whole in model.whole_pathways.items()}
    target = weightless_target(model.architecture, tasks, one_picture(["depth"]), load_configuration(config))
    assert len(lower_program(target).entries) > 1000

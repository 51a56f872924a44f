"""The command `moesaic check-program`."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from moesaic.argument_types import names, positive, seed

if TYPE_CHECKING:
    import numpy as np

    from moesaic.spec.build import Build
    from moesaic.spec.joint_programs import JointProgram


class CheckProgramCommand:
    """Runs the programs of a build with their units in many of the orders that the semaphores allow."""

    name = "check-program"
    help = "run the programs of a build in many orders of their units and name what no semaphore orders"

    @staticmethod
    def configure(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("build", type=Path, help="build directory, from `moesaic generate`")
        parser.add_argument(
            "--tasks",
            type=names,
            metavar="TASK[@PATHWAY],…",
            help="tasks of the build, separated by commas (default: every pathway, and every joint program)",
        )
        parser.add_argument("--orders", type=positive, default=8, help="orders to try for each program (default: 8)")
        parser.add_argument("--seed", type=seed, default=0, help="of orders, image and memories (default: 0)")

    @staticmethod
    def run(arguments: argparse.Namespace) -> int:
        from moesaic.spec.build import load_build

        build = load_build(arguments.build)
        names = arguments.tasks or list(build.pathways)
        chosen = [program for name in names for program in build.programs_for([name])]
        chosen += () if arguments.tasks else build.joint
        wrong = 0
        for program in chosen:
            problem = _problem(build, program, arguments.orders, arguments.seed)
            print(
                f"{program.label}: {problem or f'one result in program order and in {arguments.orders} other orders'}"
            )
            wrong += bool(problem)
        return 1 if wrong else 0


def _problem(build: Build, joint: JointProgram, orders: int, first_seed: int) -> str:
    """What is wrong with a program, empty if nothing is."""
    import numpy as np

    from moesaic.spec.executor import MachineFault
    from moesaic.spec.issue import read_program
    from moesaic.spec.machine import ReferenceMachine
    from moesaic.spec.unit_orders import adversarial_order, execute_in_order, find_race, unclaimed_signals

    configuration = build.configuration
    size = (len(joint.image_offsets), build.image_height, build.image_width, 3)
    images = np.random.default_rng(first_seed).integers(0, 256, size, np.uint8)

    def outcome(order: Iterable[int]) -> np.ndarray:
        memory = build.new_memory()
        build.write_images(memory.frame, joint, list(images))
        return execute_in_order(ReferenceMachine(configuration, seed=first_seed), program, order, memory)

    try:
        program = list(read_program(joint.program, build.constants, configuration))
        drawn = [
            adversarial_order(program, configuration.instruction_queue, first_seed + number) for number in range(orders)
        ]
        expected = outcome(range(len(program)))
    except MachineFault as fault:
        return str(fault)
    for order in drawn:
        try:
            same = np.array_equal(outcome(order), expected)
        except MachineFault:
            same = False
        if not same:
            race = find_race(program, order, outcome)
            early, late = (
                f"instruction {i.index} ({i.name} on {i.unit.name.lower()}, {build.tags[i.fields['tag']]})"
                for i in (race.early, race.late)
            )
            return f"{late} must wait for {early}, and no semaphore makes it wait"
    signals = [f"{count} from {a.name.lower()} to {b.name.lower()}" for a, b, count in unclaimed_signals(program)]
    return f"signals that nobody waits for: {', '.join(signals)}" if signals else ""

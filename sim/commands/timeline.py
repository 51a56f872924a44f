"""The command `moesaic timeline`."""

from __future__ import annotations

import argparse
from pathlib import Path

from moesaic.argument_types import natural


class TimelineCommand:
    """A run of a build on the simulated RTL, as a trace and, if wanted, a waveform."""

    name = "timeline"
    help = "run a task of a build on the simulated RTL and write when each instruction ran, for ui.perfetto.dev"

    @staticmethod
    def configure(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("build", type=Path, help="build directory, from `moesaic generate`")
        parser.add_argument("--task", required=True, help="task of the build")
        parser.add_argument("--image", type=Path, help="image to run (default: a photograph)")
        parser.add_argument(
            "--output",
            type=Path,
            default=Path("trace.json"),
            help="Chrome trace events as JSON, compressed if the name ends in .gz (default trace.json)",
        )
        parser.add_argument(
            "--waveform", type=Path, metavar="FST", help="also write the waveform of cycles --from to --to"
        )
        parser.add_argument("--from", type=natural, dest="first", metavar="CYCLE", help="first cycle of the waveform")
        parser.add_argument("--to", type=natural, dest="last", metavar="CYCLE", help="last cycle of the waveform")

    @staticmethod
    def run(arguments: argparse.Namespace) -> int:
        from moesaic.errors import UserError
        from moesaic.files import require_file_writable
        from moesaic.sim.machines.rtl_executor import RtlExecutor
        from moesaic.sim.machines.simulated_executors import require_tools
        from moesaic.sim.measurements.road.inputs import photographs, read_samples
        from moesaic.sim.measurements.timeline.timeline import build_timeline
        from moesaic.sim.measurements.timeline.trace_events import write_trace
        from moesaic.spec.build import load_build
        from moesaic.spec.executor import MAX_CYCLES

        window = _window(arguments)
        build = load_build(arguments.build)
        program = build.task(arguments.task).program
        seen = build.image_height, build.image_width, build.input
        sample = (read_samples([arguments.image], *seen) if arguments.image else photographs(*seen))[0]
        require_tools(["rtl"])
        for path in (arguments.output, arguments.waveform):
            if path is not None:
                require_file_writable(path)

        memory = build.new_memory()
        build.write_image(memory.frame, sample.image)
        with RtlExecutor(
            arguments.build / "rtl", build.configuration, timeline=True, waveforms=window is not None
        ) as executor:
            executor.window = window
            cycles = executor.run(program, memory, MAX_CYCLES)["cycles"]
        timeline = build_timeline(executor.events, build, build.task(arguments.task).program)
        write_trace(arguments.output, timeline, f"{build.name}, {arguments.task}")
        print(
            f"{arguments.output}: {len(timeline.executions):,} instructions in {cycles:,} cycles; open it at "
            "https://ui.perfetto.dev"
        )
        if window is not None:
            if window.first >= cycles:
                raise UserError(
                    f"the run has {cycles} cycles and --from is {window.first}: no waveform; choose a cycle of the run"
                )
            print(f"{window.path}: cycles {window.first:,} to {min(window.last, cycles):,}, one a nanosecond")
        return 0


def _window(arguments: argparse.Namespace):
    from moesaic.errors import UserError
    from moesaic.sim.machines.rtl_executor import Window

    named = [option for option in ("waveform", "first", "last") if getattr(arguments, option) is not None]
    if not named:
        return None
    if len(named) < 3:
        raise UserError("--waveform FST, --from CYCLE and --to CYCLE go together: give all three or none")
    if arguments.last < arguments.first:
        raise UserError(f"--from {arguments.first} is after --to {arguments.last}: swap them")
    return Window(arguments.waveform, arguments.first, arguments.last)

"""What is benchmarked: frames of the models, each technique off in turn, other arrays and DRAM rates, shared weights, a DDR4."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from moesaic.errors import UserError
from moesaic.hls.compiler.schedule import Schedule
from moesaic.sim.machines.ddr4 import DDR4, FLAT
from moesaic.spec.configuration import HardwareConfiguration
from moesaic.spec.dram_timing import BEAT_BYTES, BYTES_PER_CYCLE
from moesaic.spec.joint_programs import ResultSet, image_count, label, one_picture, one_task

TASKS = ("segmentation", "depth")
PARTS = ("frames", "ablation", "scaling", "joint")
DRAM_PART = "dram"
"""The part that is run only if a DRAM is chosen: frames behind a DDR4."""


@dataclass(frozen=True)
class Frame:
    """An input of a model.

    model: name of a recipe. height, width: pixels. sequence: tasks run one after the other in one simulation.
    asked: name of a configuration to the target for the encoder on it, at most so many cycles; others have none. expert_bits: of the
    experts' weights, 8 or 4. experts_kept: per MoE block, those that the tasks use most on calibration images; None keeps all. joint:
    what comes from one run; the sequence is then its label alone (see joint_frame).
    """

    model: str
    height: int
    width: int
    sequence: tuple[str, ...]
    asked: Mapping[str, int] = field(default_factory=dict, hash=False, compare=False)
    expert_bits: int = 8
    experts_kept: int | None = None
    joint: ResultSet = ()

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks of the network."""
        return tuple(dict.fromkeys((*TASKS, *(name for name, _ in self.joint))))

    @property
    def pictures(self) -> int:
        """Images of a run."""
        return image_count(self.joint) or 1

    def results(self, run: str) -> ResultSet:
        """What a run of the sequence gives."""
        return self.joint or one_picture([run])

    @property
    def input(self) -> str:
        """The input size as HEIGHTxWIDTH, such as "128x256", in pixels."""
        return f"{self.height}x{self.width}"


@dataclass(frozen=True)
class Case:
    """A frame on a machine.

    part: one of PARTS, or DRAM_PART. label: what is special about the case. bytes_per_cycle: DRAM rate of all ports together.
    csim: whether to run the C++ compiled by g++ as well. series: what a scaling case varies; empty for other cases. dram: one of
    moesaic.sim.machines.ddr4.DRAMS.
    """

    part: str
    label: str
    frame: Frame
    configuration: HardwareConfiguration
    schedule: Schedule = field(default_factory=Schedule)
    bytes_per_cycle: float = BYTES_PER_CYCLE
    csim: bool = False
    series: str = ""
    dram: str = FLAT


_A, _B = TASKS
# Every change between the two tasks and every repetition: a frame's cost must not depend on the frame before it.
_EVERY_CHANGE = (_A, _B, _A, _B, _B)
FRAMES = (
    Frame("m3vit_tiny", 128, 256, _EVERY_CHANGE, {"zcu104": 490_000, "zcu104-full": 470_000}),
    Frame("m3vit_small", 128, 256, _EVERY_CHANGE, {"zcu104": 1_300_000, "zcu104-full": 1_150_000}),
    Frame("m3vit_small", 224, 224, (_A, _B, _A), {"zcu104": 2_030_000, "zcu104-full": 1_720_000}),
    Frame("m3vit_small", 480, 640, (_A, _B), {"zcu104": 17_500_000, "zcu104-full": 15_000_000}),
)


def joint_frame(model: str, height: int, width: int, joint: ResultSet, asked: Mapping[str, int]) -> Frame:
    """A frame whose results all come from one run. asked: cycles per image."""
    return Frame(model, height, width, (label(joint),), asked, joint=joint)


_THREE = (*TASKS, "normals")
JOINT_FRAMES = {
    "three tasks": joint_frame(
        "m3vit_tiny", 128, 256, one_picture(_THREE), {"zcu104": 1_030_000, "zcu104-full": 860_000}
    ),
    "four pictures": joint_frame("m3vit_tiny", 128, 256, one_task(_A, 4), {"zcu104": 360_000, "zcu104-full": 300_000}),
    "4-bit experts": Frame("m3vit_tiny", 128, 256, (_A,), {"zcu104": 380_000, "zcu104-full": 340_000}, expert_bits=4),
    "8 experts": Frame("m3vit_tiny", 128, 256, (_A,), {"zcu104": 370_000, "zcu104-full": 320_000}, experts_kept=8),
    "two tasks": joint_frame(
        "m3vit_small", 128, 256, one_picture(TASKS), {"zcu104": 2_500_000, "zcu104-full": 2_100_000}
    ),
    "three tasks of 224x224": joint_frame(
        "m3vit_small", 224, 224, one_picture(_THREE), {"zcu104": 5_900_000, "zcu104-full": 4_950_000}
    ),
}
"""Frames that share or save bytes of weights, by the labels of their cases."""

_OFF = {
    "prefetch": {"prefetch": False},
    "patch reordering": {"expert_tokens": 1},
    "single-pass softmax": {"softmax_sweeps": 3},
    "attention reordering": {"query_rows": 1},
    "table GELU in the drain": {"gelu_pass": True},
}
ALL_ON, UNIFIED, ALL_OFF = "all on", "unified unit", "all off"


def frame_cases(configuration: HardwareConfiguration, frames: Sequence[Frame] = FRAMES) -> list[Case]:
    """Every frame on the unmodified machine."""
    return [Case("frames", "", frame, configuration, csim=True) for frame in frames]


def ablation_cases(configuration: HardwareConfiguration, frame: Frame) -> list[Case]:
    """A frame with all techniques on, with each one switched off, and with all of them off.

    Without the unified unit there would be two units, one for attention and one for the other layers. They would share the DSPs but
    never work at the same time, because each needs the other's results, so such a machine takes the cycles of an array with half
    the rows, rounded up to a multiple of act_ports.
    """
    (base,) = frame_cases(configuration, [frame])
    frame = _once(frame)
    ports = configuration.act_ports
    rows = ports * -(-configuration.tile_rows // (2 * ports))
    half = dataclasses.replace(configuration, name=f"{configuration.name}-half", tile_rows=rows)
    everything = {key: value for change in _OFF.values() for key, value in change.items()}
    return [
        dataclasses.replace(base, part="ablation", label=ALL_ON),
        *(Case("ablation", label, frame, configuration, Schedule(**change)) for label, change in _OFF.items()),
        Case("ablation", UNIFIED, frame, half),
        Case("ablation", ALL_OFF, frame, half, Schedule(**everything)),
    ]


def scaling_cases(
    configuration: HardwareConfiguration, frame: Frame, rows: Sequence[int], rates: Sequence[float]
) -> list[Case]:
    """A frame on arrays with these numbers of rows, and at these DRAM rates in bytes per cycle.

    The point that coincides with the unmodified machine is the frame's own case. If the load ports cannot move a rate, the machine
    gets as many ports as that rate needs.
    """
    (base,) = frame_cases(configuration, [frame])
    cases = []
    for count in rows:
        machine = dataclasses.replace(configuration, name=f"{configuration.name}-{count}-rows", tile_rows=count)
        if count > configuration.tile_rows:
            machine = dataclasses.replace(machine, part=_LARGER_PART)
        case = Case("scaling", f"{count} rows", _once(frame), machine, series="array")
        if count == configuration.tile_rows:
            case = dataclasses.replace(base, part="scaling", label=case.label, series="array")
        cases.append(case)
    for rate in rates:
        ports = max(configuration.load_ports, -(-int(rate) // 16))
        machine = dataclasses.replace(configuration, name=f"{configuration.name}-{ports}-ports", load_ports=ports)
        machine = configuration if ports == configuration.load_ports else machine
        case = Case("scaling", f"{rate:.2f} B/cycle", _once(frame), machine, bytes_per_cycle=rate, series="DRAM")
        if rate == base.bytes_per_cycle:
            case = dataclasses.replace(base, part="scaling", label=case.label, series="DRAM")
        cases.append(case)
    return cases


def joint_cases(configuration: HardwareConfiguration, frames: Sequence[Frame]) -> list[Case]:
    """The frames that share or save bytes of weights, of the models and inputs of `frames`."""
    chosen = {(frame.model, frame.input) for frame in frames}
    return [
        Case("joint", label, frame, configuration, csim=True)
        for label, frame in JOINT_FRAMES.items()
        if (frame.model, frame.input) in chosen
    ]


def dram_cases(configuration: HardwareConfiguration, frames: Sequence[Frame], dram: str) -> list[Case]:
    """Every frame, with its first task, behind a DDR4 (a key of moesaic.sim.machines.ddr4.DDR4).

    Their limit assumes what ports and pins can move.
    """
    rate = float(min(BEAT_BYTES * configuration.load_ports, DDR4[dram].peak))
    return [Case(DRAM_PART, dram, _once(frame), configuration, bytes_per_cycle=rate, dram=dram) for frame in frames]


def _once(frame: Frame) -> Frame:
    """The frame with only its first task."""
    return dataclasses.replace(frame, sequence=frame.sequence[:1])


_SWEPT_INPUT = "128x256"
_ABLATION_MODEL = "m3vit_tiny"
_LARGER_PART = "XCZU15EG"  # a part of the same family with twice the DSPs
SCALING_ROWS = (4, 6, 24)
"""Beside those of the machine itself."""
SCALING_RATES = (32 / 3, 64 / 3, BYTES_PER_CYCLE, 64.0)


def chosen_frames(model: str | None, size: str | None) -> list[Frame]:
    """The frames of a model and of an input size such as "128x256"; None selects all. Raises UserError if there are none."""
    models = list(dict.fromkeys(frame.model for frame in FRAMES))
    if model is not None and model not in models:
        raise UserError(f"no benchmark of model {model!r}; there are {', '.join(models)}")
    frames = [frame for frame in FRAMES if model in (None, frame.model) and size in (None, frame.input)]
    if not frames:
        known = ", ".join(f"{frame.model} {frame.input}" for frame in FRAMES)
        raise UserError(f"no benchmark of input {size!r}{f' of {model}' if model else ''}; there are {known}")
    return frames


def chosen_cases(configuration: HardwareConfiguration, frames: Sequence[Frame], parts: Sequence[str]) -> list[Case]:
    """All cases of the given parts, most important first. Ablation and scaling use frames of 128x256 only, ablation only m3vit_tiny."""
    cases = frame_cases(configuration, frames) if "frames" in parts else []
    smallest = [frame for frame in frames if frame.input == _SWEPT_INPUT]
    if "ablation" in parts:
        for frame in smallest:
            if frame.model == _ABLATION_MODEL:
                cases += ablation_cases(configuration, frame)
    if "scaling" in parts:
        for frame in smallest:
            rows = sorted({*SCALING_ROWS, configuration.tile_rows})
            cases += scaling_cases(configuration, frame, rows, SCALING_RATES)
    if "joint" in parts:
        cases += joint_cases(configuration, frames)
    return cases

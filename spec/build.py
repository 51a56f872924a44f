"""The build: what the generator hands to simulators, vendor flows and the runtime.

A build is a directory: build.json (this description, with the hash of every file), constants.bin (programs and weights, loaded
once into the constant window of DRAM), cpp/ and rtl/ (the sources of the accelerator for this configuration).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path

import numpy as np

from moesaic.errors import UserError
from moesaic.files import MANIFEST_HASH, read_file, read_manifest, write_directory
from moesaic.spec.configuration import HardwareConfiguration
from moesaic.spec.executor import Memory, Program
from moesaic.spec.heads import CLASSIFICATION, FEATURES, POOLINGS, ROWS_LEAST
from moesaic.spec.input_description import MINUS_ONE_TO_ONE, InputDescription
from moesaic.spec.joint_programs import JointMember, JointProgram, ResultSet, checked_results, image_count, one_picture
from moesaic.spec.observation import Observation
from moesaic.spec.output_description import USUAL_OUTPUT, OutputDescription, output_problem
from moesaic.spec.pathway_names import is_alternative_name, pathway_name, split_pathway_name

FORMAT, VERSION = "moesaic build", 1
MANIFEST = "build.json"
_REMEDY = "make it again with `moesaic generate`"
_ENTRIES = {
    "format", "version", "name", "configuration", "fingerprint", "image", "frame_bytes", "tasks", "tags", "report",
    "bundle_sha256", "input", "joint", "files", MANIFEST_HASH,
}  # fmt: skip


@dataclass(frozen=True)
class AlternativeProgram:
    """Another pathway of a task, with the same weights, the same head and the same place for the output.

    The fields mean what they mean in TaskProgram.
    """

    program: Program
    macs: int
    metrics: dict = field(default_factory=dict)
    observations: dict[str, Observation] = field(default_factory=dict)


@dataclass(frozen=True)
class TaskProgram:
    """A task of a build.

    program: where it lies in the constant window. output_offset: bytes from the start of the frame window to the output, int16 of
    output_shape = (height, width, stored channels), of which the first `channels` count. kind, class_names, output_scale, output: see
    moesaic.spec.bundle.Task. macs: multiply-accumulates of the network per frame, with top_k experts per token. observations: layer
    name to where its result is stored, empty unless generated with observation. metrics: accuracy of this pathway, see
    moesaic.spec.bundle.Task. alternatives: name to another pathway of the task; an application picks one from frame to frame.
    pooling: of a classification, see moesaic.spec.heads.POOLINGS. grid: of features, the rows and columns of patches, whose tokens
    are the last ones; (0, 0) for any other kind.
    """

    program: Program
    output_offset: int
    output_shape: tuple[int, int, int]
    channels: int
    kind: str
    output_scale: float
    macs: int
    class_names: tuple[str, ...] = ()
    observations: dict[str, Observation] = field(default_factory=dict)
    metrics: dict = field(default_factory=dict)
    alternatives: dict[str, AlternativeProgram] = field(default_factory=dict)
    pooling: str = ""
    grid: tuple[int, int] = (0, 0)
    output: OutputDescription = USUAL_OUTPUT

    @property
    def prefix_tokens(self) -> int:
        """Tokens of features before those of the patches: class token, registers; 0 for any other kind of task."""
        rows, columns = self.grid
        return self.output_shape[1] - rows * columns if rows else 0

    def to_dict(self) -> dict:
        """As a manifest states it; pooling, grid and output are left out at their defaults."""
        values = asdict(self) | {"output": self.output.to_dict()}
        return {
            name: value for name, value in values.items() if name not in _UNMENTIONED or value != _UNMENTIONED[name]
        }


_UNMENTIONED = {f.name: f.default for f in fields(TaskProgram) if f.name in ("pooling", "grid")} | {"output": {}}


@dataclass
class Build:
    """See the module. tags: name of each instruction tag, for faults and traces. files: sources, name to content.

    image_height, image_width: pixels. image_offset: bytes from the start of the frame window. frame_bytes: of the frame window.
    constants: the constant window, uint8 (bytes,). bundle_sha256: identity of the bundle that the build was made from, see
    moesaic.spec.bundle.Bundle.sha256. image_patch, image_pitch: if not 0, every run of image_patch pixels of an image line takes
    image_pitch pixels in the frame, the rest of which are zeros. input: what the network's image is, and how one gets to its size.
    joint: programs that give several results in one run.
    """

    name: str
    configuration: HardwareConfiguration
    image_height: int
    image_width: int
    image_offset: int
    frame_bytes: int
    tasks: dict[str, TaskProgram]
    tags: tuple[str, ...]
    constants: np.ndarray
    files: dict[str, bytes] = field(default_factory=dict)
    report: dict = field(default_factory=dict)
    bundle_sha256: str = ""
    image_patch: int = 0
    image_pitch: int = 0
    input: InputDescription = MINUS_ONE_TO_ONE
    joint: tuple[JointProgram, ...] = ()

    @property
    def image_bytes(self) -> int:
        """Bytes that the image takes in the frame window."""
        width = self.image_width // self.image_patch * self.image_pitch if self.image_patch else self.image_width
        return 4 * self.image_height * width

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the configuration, 16 hexadecimal digits."""
        return self.configuration.fingerprint

    def save(self, directory: Path) -> None:
        """Write the build, whole or not at all; the same build gives the same bytes. UserError if it cannot be written."""
        manifest = {
            "format": FORMAT,
            "version": VERSION,
            "name": self.name,
            "configuration": self.configuration.to_dict(),
            "fingerprint": self.fingerprint,
            "image": self._image(),
            "frame_bytes": self.frame_bytes,
            "tasks": {name: task.to_dict() for name, task in self.tasks.items()},
            "tags": list(self.tags),
            "report": self.report,
            "bundle_sha256": self.bundle_sha256,
        }
        manifest |= {"input": stated} if (stated := self.input.to_dict()) else {}
        manifest |= {"joint": [asdict(joint) for joint in self.joint]} if self.joint else {}
        write_directory(Path(directory), MANIFEST, manifest, {"constants.bin": self.constants.tobytes(), **self.files})

    def _image(self) -> dict[str, int]:
        image = {"height": self.image_height, "width": self.image_width, "offset": self.image_offset}
        return image | ({"patch": self.image_patch, "pitch": self.image_pitch} if self.image_patch else {})

    @property
    def pathways(self) -> dict[str, TaskProgram]:
        """Every pathway by its name (moesaic.spec.pathway_names), the default ones first.

        Each is a task without alternatives.
        """
        found = {name: replace(task, alternatives={}) for name, task in self.tasks.items()}
        for name, task in self.tasks.items():
            for alternative, a in task.alternatives.items():
                values = {"program": a.program, "macs": a.macs, "metrics": a.metrics, "observations": a.observations}
                found[pathway_name(name, alternative)] = replace(task, alternatives={}, **values)
        return found

    def task(self, name: str) -> TaskProgram:
        """The task of this name; for TASK@ALTERNATIVE, the task on that pathway. A UserError lists the known ones."""
        if not isinstance(name, str):
            raise UserError(
                f"a task is named by a text, not by {type(name).__name__} {name!r}; build {self.name} has "
                f"{', '.join(sorted(self.tasks))}"
            )
        task, alternative = split_pathway_name(name)
        if task not in self.tasks:
            raise UserError(f"unknown task {task!r}; build {self.name} has {', '.join(sorted(self.tasks))}")
        if alternative is None:
            return self.tasks[task]
        known = self.tasks[task].alternatives
        if alternative not in known:
            others = f"the alternatives {', '.join(sorted(known))}" if known else "no alternative"
            raise UserError(
                f"unknown pathway {alternative!r} of task {task}: build {self.name} has its default and {others}"
            )
        return self.pathways[name]

    def program_for(self, results: ResultSet) -> JointProgram | None:
        """The program that gives exactly these results, in this order; None if there is none.

        That of a single result is described like a joint one. UserError for an unknown task.
        """
        tasks = [self.task(name) for name, _ in results]
        if len(results) == 1:
            (task,), ((name, image),) = tasks, results
            member = JointMember(name, image, task.output_offset, task.observations)
            return JointProgram(task.program, (self.image_offset,), (member,), task.macs)
        for joint in self.joint:
            if len(joint.members) == len(results) and set(joint.results) == set(results):
                members = dict(zip(joint.results, joint.members, strict=True))
                return replace(joint, members=tuple(members[result] for result in results))
        return None

    def programs_for(self, names: Sequence[str]) -> list[JointProgram]:
        """The programs that give these pathways of one image: the joint one, if the build has it, otherwise one for each.

        UserError for an unknown task.
        """
        alone = [self.program_for(one_picture([name])) for name in names]
        joint = self.program_for(one_picture(names))
        return [joint] if joint else [program for program in alone if program]

    def batches(self, name: str) -> list[int]:
        """Of how many images the build has a joint program of this pathway, in descending order."""
        sizes = {len(joint.image_offsets) for joint in self.joint if {n for n, _ in joint.results} == {name}}
        return sorted(sizes, reverse=True)

    def new_memory(self, pattern: int = 0xA5) -> Memory:
        """Memory windows with the constants in place and every byte of the frame set to `pattern`."""
        return Memory(self.constants.copy(), np.full(self.frame_bytes, pattern, np.uint8))

    def write_image(self, frame: np.ndarray, image: np.ndarray, offset: int | None = None) -> None:
        """Put an image into the frame window: int8 = value - 128 of each colour, 4 bytes per pixel.

        frame: uint8 (frame_bytes,), written in place. image: uint8 (height, width, 3), RGB. offset: bytes to where the image begins, as a
        joint program says; None for image_offset. UserError for another size or dtype.
        """
        expected = (self.image_height, self.image_width, 3)
        if image.dtype != np.uint8 or image.shape != expected:
            raise UserError(
                f"the image is {image.dtype} {image.shape}, build {self.name} takes uint8 {expected}; resize or convert it"
            )
        pixels = np.zeros((*expected[:2], 4), np.uint8)
        pixels[..., :3] = image ^ 0x80
        if self.image_patch:
            runs = pixels.reshape(self.image_height, -1, self.image_patch, 4)
            pixels = np.pad(runs, ((0, 0), (0, 0), (0, self.image_pitch - self.image_patch), (0, 0)))
        start = self.image_offset if offset is None else offset
        frame[start : start + pixels.size] = pixels.reshape(-1)

    def write_images(self, frame: np.ndarray, program: JointProgram, images: Sequence[np.ndarray]) -> None:
        """Put the images of a program into the frame window, each as write_image does. ValueError for another number of them."""
        for image, offset in zip(images, program.image_offsets, strict=True):
            self.write_image(frame, image, offset)

    def output_part(self, task: str, offset: int | None = None) -> slice:
        """The bytes of the frame window that hold the output of a task or pathway. offset: where it begins; None for the task's own."""
        program = self.task(task)
        start = program.output_offset if offset is None else offset
        return slice(start, start + 2 * int(np.prod(program.output_shape)))

    def read_output(self, frame: np.ndarray, task: str, offset: int | None = None) -> np.ndarray:
        """The result of a task or pathway, a copy, int16 (height, width, channels).

        frame: the frame window after a run, uint8 (frame_bytes,). offset: where the output begins, as a member of a joint program says;
        None for the task's own. UserError for an unknown task.
        """
        program = self.task(task)
        raw = frame[self.output_part(task, offset)].view("<i2").reshape(program.output_shape)
        return raw[..., : program.channels].copy()


def load_build(directory: Path | str) -> Build:
    """Read a build and check every hash and the fingerprint. UserError if it is missing, altered or malformed."""
    directory = Path(directory)
    manifest = read_manifest(directory, MANIFEST, FORMAT, VERSION, _REMEDY)
    contents = {name: read_file(directory, manifest, name, _REMEDY) for name in manifest["files"]}
    if unknown := sorted(manifest.keys() - _ENTRIES):
        raise UserError(f"{directory / MANIFEST} is malformed: it has an unknown entry {unknown[0]!r}; {_REMEDY}")
    try:
        configuration = HardwareConfiguration.from_dict(manifest["configuration"])
        image = manifest["image"]
        build = Build(
            name=manifest["name"],
            configuration=configuration,
            image_height=image["height"],
            image_width=image["width"],
            image_offset=image["offset"],
            frame_bytes=manifest["frame_bytes"],
            tasks={name: _task(values) for name, values in manifest["tasks"].items()},
            tags=tuple(manifest["tags"]),
            constants=np.frombuffer(contents.pop("constants.bin"), np.uint8).copy(),
            files=contents,
            report=manifest["report"],
            bundle_sha256=manifest["bundle_sha256"],
            image_patch=image.get("patch", 0),
            image_pitch=image.get("pitch", 0),
            input=InputDescription.from_dict(manifest.get("input", {})),
            joint=tuple(map(_joint, manifest.get("joint", []))),
        )
        written = manifest["fingerprint"]
        problem = _problem(build)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{directory / MANIFEST} is malformed ({error!r}); {_REMEDY}") from None
    except UserError as error:
        raise UserError(f"{directory / MANIFEST} is malformed: {error}; {_REMEDY}") from None
    if problem:
        raise UserError(f"{directory / MANIFEST} is malformed: {problem}; {_REMEDY}")
    if written != build.fingerprint:
        raise UserError(f"{directory}: fingerprint {written} but its configuration has {build.fingerprint}; {_REMEDY}")
    return build


def _problem(build: Build) -> str:
    """What is wrong with a build that was read, empty if nothing is: types, and whether everything lies within its window."""
    texts = (build.name, build.bundle_sha256, *build.tags)
    if not all(isinstance(text, str) for text in texts) or not isinstance(build.report, dict):
        return "its name, bundle_sha256 or tags are no texts, or its report no table"
    if not build.tasks:
        return "it has no task"
    patch, pitch = build.image_patch, build.image_pitch
    if not all(type(number) is int for number in (patch, pitch)) or not 0 <= patch <= pitch:
        return f"its image has runs of {patch!r} pixels in {pitch!r}"
    if patch and build.image_width % patch:
        return f"its image of {build.image_width} pixels a line is not made of runs of {patch}"
    constants, frame = build.constants.size, build.frame_bytes
    if type(frame) is not int or not 0 < frame < 1 << 32:
        return f"its frame_bytes is {frame!r}, not an integer from 1 to {(1 << 32) - 1}"
    places = [("the image", build.image_offset, build.image_bytes, frame)]
    for name, task in build.tasks.items():
        for alternative in task.alternatives:
            if not is_alternative_name(alternative):
                return f"task {name}: alternative {alternative!r} is not named by letters, digits, - and _"
    for name, task in build.pathways.items():
        height, width, channels = task.output_shape
        places.append((f"the program of task {name}", task.program.offset, task.program.size, constants))
        places.append((f"the output of task {name}", task.output_offset, 2 * height * width * channels, frame))
        if not 1 <= task.channels <= channels:
            return f"task {name} has {task.channels} of {channels} stored channels"
        if problem := _kind_problem(task):
            return f"task {name}: {problem}"
    for joint in build.joint:
        checked_results(joint.results)
        if len(joint.image_offsets) != image_count(joint.results):
            return f"the joint program {joint.label} has {len(joint.image_offsets)} images"
        places.append((f"the joint program {joint.label}", joint.program.offset, joint.program.size, constants))
        places += [("an image", offset, build.image_bytes, frame) for offset in joint.image_offsets]
        for member in joint.members:
            height, width, channels = build.task(member.pathway).output_shape
            places.append(
                (f"the output of {member.pathway}", member.output_offset, 2 * height * width * channels, frame)
            )
    for what, offset, size, window in places:
        if not all(type(number) is int for number in (offset, size, window)):
            return f"{what} lies at {offset!r} with {size!r} of {window!r} bytes, which are no integers"
        if offset < 0 or size < 1 or offset + size > window:
            return f"{what}, {size} bytes at {offset}, does not lie within the {window} bytes of its window"
    return ""


def _kind_problem(task: TaskProgram) -> str:
    """What is wrong with the fields that belong to particular kinds of task; empty if nothing is."""
    rows = task.output_shape[1]
    if problem := output_problem(task.kind, task.channels, task.output):
        return problem
    scale = task.output_scale
    if type(scale) not in (int, float) or not math.isfinite(scale) or scale <= 0:
        return f"output_scale is {scale!r}, not a finite number above 0"
    if (task.kind == CLASSIFICATION) != bool(task.pooling) or (task.pooling and task.pooling not in POOLINGS):
        return f"pooling {task.pooling!r} does not suit kind {task.kind!r}"
    if task.kind == CLASSIFICATION and rows < ROWS_LEAST[task.pooling]:
        return f"pooling {task.pooling!r} of {rows} rows, it needs {ROWS_LEAST[task.pooling]}"
    down, across = task.grid
    patches = down * across
    if (task.kind == FEATURES) != bool(patches) or not 0 <= patches <= rows:
        return f"a grid of {down}x{across} patches does not suit kind {task.kind!r} of {rows} tokens"
    return ""


def _task(values: dict) -> TaskProgram:
    alternatives = {
        name: AlternativeProgram(**{**alternative, **_program(alternative)})
        for name, alternative in values.get("alternatives", {}).items()
    }
    converted = {
        "output_shape": tuple(values["output_shape"]),
        "class_names": tuple(values["class_names"]),
        "alternatives": alternatives,
        "output": OutputDescription.from_dict(values.get("output", {})),
        "grid": tuple(values.get("grid", (0, 0))),
    }
    return TaskProgram(**{**values, **_program(values), **converted})


def _joint(values: dict) -> JointProgram:
    members = tuple(
        JointMember(**{**member, "observations": _observations(member["observations"])}) for member in values["members"]
    )
    offsets = tuple(values["image_offsets"])
    program = Program(**values["program"])
    return JointProgram(**{**values, "program": program, "image_offsets": offsets, "members": members})


def _observations(values: dict) -> dict[str, Observation]:
    return {
        name: Observation(**{**o, "shape": tuple(o["shape"]), "kept": tuple(o["kept"])}) for name, o in values.items()
    }


def _program(values: dict) -> dict:
    """The fields that a task and an alternative have in common, converted."""
    return {"program": Program(**values["program"]), "observations": _observations(values["observations"])}

"""Whole frames of a build on the simulated RTL, compared with the reference machine and kept."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

import numpy as np

from moesaic.files import write_file
from moesaic.sim.machines.rtl_executor import RtlExecutor, build_simulator
from moesaic.sim.measurements.road.streams import Job, mismatched_bytes, run_stream
from moesaic.spec.build import Build
from moesaic.spec.machine import ReferenceMachine


@dataclass(frozen=True)
class Frame:
    """One picture and task on the RTL.

    output: int16 [height, width, channels], in output units. mismatched_bytes: of the whole frame window, against the reference
    machine. seconds: wall clock of the simulation.
    """

    picture: str
    task: str
    cycles: int
    mismatched_bytes: int
    seconds: float
    output: np.ndarray


class Simulation:
    """Frames of a build saved in `build_directory`, on `processes` simulators side by side; those in `kept` are not run again."""

    def __init__(self, build: Build, build_directory: Path, kept: Path, processes: int) -> None:
        self._build, self._rtl, self._kept, self._processes = build, build_directory / "rtl", kept, processes
        digest = hashlib.sha256(build.fingerprint.encode() + build.constants.tobytes())
        for name in sorted(name for name in build.files if name.startswith("rtl/")):
            digest.update(name.encode() + build.files[name])
        self._key = digest

    def run(self, jobs: Sequence[Job], advance: Callable[[Frame], None] = lambda frame: None) -> list[Frame]:
        """The frames of the jobs, in their order. advance: called with each frame when it is there.

        Raises MachineFault if a machine stops a run, InternalError if a simulator dies.
        """
        found = {_key(job): self._read(job) for job in jobs}
        missing = [job for job in jobs if found[_key(job)] is None]
        for frame in found.values():
            if frame is not None:
                advance(frame)
        if missing:
            build_simulator(self._rtl, self._build.configuration)  # once, before several processes want it
            machines: SimpleQueue[RtlExecutor] = SimpleQueue()
            opened = [
                RtlExecutor(self._rtl, self._build.configuration) for _ in range(min(self._processes, len(missing)))
            ]
            for machine in opened:
                machines.put(machine)
            try:
                with ThreadPoolExecutor(len(opened)) as threads:
                    for job, frame in zip(missing, threads.map(lambda job: self._simulate(job, machines), missing)):
                        found[_key(job)] = frame
                        advance(frame)
            finally:
                for machine in opened:
                    machine.close()
        return [frame for job in jobs if (frame := found[_key(job)]) is not None]

    def _simulate(self, job: Job, machines: SimpleQueue[RtlExecutor]) -> Frame:
        sample, task = job
        machine = machines.get()
        try:
            started = time.perf_counter()
            (record,) = run_stream(machine, self._build, [job])
            seconds = time.perf_counter() - started
        finally:
            machines.put(machine)
        with closing(ReferenceMachine(self._build.configuration)) as reference:
            expected = run_stream(reference, self._build, [job])
        frame = Frame(
            sample.name,
            task,
            record.counters["cycles"],
            mismatched_bytes([record], expected),
            round(seconds, 1),
            self._build.read_output(record.frame, task),
        )
        self._keep(job, frame)
        return frame

    def _path(self, job: Job) -> Path:
        sample, task = job
        digest = self._key.copy()
        digest.update(task.encode() + sample.image.tobytes())
        return self._kept / f"{sample.name}-{task}-{digest.hexdigest()[:12]}"

    def _keep(self, job: Job, frame: Frame) -> None:
        path = self._path(job)
        figures = {"cycles": frame.cycles, "mismatched_bytes": frame.mismatched_bytes, "seconds": frame.seconds}
        shape = {"shape": frame.output.shape}
        write_file(path.with_suffix(".int16"), frame.output.astype("<i2").tobytes())
        write_file(path.with_suffix(".json"), json.dumps(figures | shape).encode())

    def _read(self, job: Job) -> Frame | None:
        path = self._path(job)
        if not path.with_suffix(".json").is_file():
            return None
        figures = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        output = np.frombuffer(path.with_suffix(".int16").read_bytes(), "<i2").reshape(figures.pop("shape"))
        return Frame(job[0].name, job[1], output=output, **figures)


def _key(job: Job) -> tuple[str, str]:
    return job[0].name, job[1]

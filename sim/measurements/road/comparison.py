"""Run a build on every executor and compare what they leave in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np

from moesaic.errors import UserError
from moesaic.model.quantisation.integer import IntegerNetwork
from moesaic.sim.measurements.road.figures import Measurements, Predictions
from moesaic.sim.measurements.road.inputs import Sample
from moesaic.sim.measurements.road.layer_check import check_layers
from moesaic.sim.measurements.road.queue_usage import ExpertUsage, UsageRecorder
from moesaic.sim.measurements.road.streams import FrameRecord, alternating, consecutive, run_stream
from moesaic.spec.build import Build
from moesaic.spec.bundle import Bundle
from moesaic.spec.executor import Executor
from moesaic.spec.machine import ReferenceMachine

FloatNetwork = Callable[[np.ndarray, str], np.ndarray]
"""A float network: from an image, uint8 (height, width, 3), and a task to outputs, float32 (height, width, channels).

A classification gives its logits (1, 1, classes), features are (1, tokens, width).
"""

Progress = Callable[[str, FrameRecord], None]
"""Called with the executor's name after each frame."""


@dataclass(frozen=True)
class Subject:
    """What a report is about.

    observed: build of the same bundle, generated with observation, for the layer-by-layer check. float_network: for the float
    predictions. If either is None, the report leaves that part out.
    """

    bundle: Bundle
    build: Build
    samples: Sequence[Sample]
    observed: Build | None = None
    float_network: FloatNetwork | None = None


def measure(
    subject: Subject, executors: Mapping[str, Callable[[], Executor]], progress: Progress = lambda name, record: None
) -> Measurements:
    """Run every task on every sample, with the tasks alternating, on the reference machine and the given executors.

    The executor "rtl" runs the frames a second time without alternation. executors: name to a function that opens the executor;
    each executor is closed afterwards. progress: called after each frame.

    Raises:
        UserError: build and bundle differ in tasks or image size, or an executor's fingerprint differs from the build's.
        MachineFault: a machine stopped a run.
    """
    bundle, build, samples = subject.bundle, subject.build, subject.samples
    _check_match(bundle, build)
    jobs = alternating(samples, list(build.tasks))
    streams: dict[str, list[FrameRecord]] = {}
    streams["reference"], usage = _run_reference(subject, progress)
    unalternated: list[FrameRecord] = []
    for name, open_executor in executors.items():
        with closing(open_executor()) as executor:
            if executor.fingerprint != build.fingerprint:
                raise UserError(
                    f"build {build.name} has fingerprint {build.fingerprint}, the {name} executor has {executor.fingerprint};"
                    " generate the build for that configuration"
                )
            streams[name] = run_stream(executor, build, jobs, lambda record, name=name: progress(name, record))
            if name == "rtl":
                again = consecutive(samples, list(build.tasks))
                unalternated = run_stream(executor, build, again, lambda record, name=name: progress(name, record))
    network = IntegerNetwork(bundle.architecture, bundle.tasks, bundle.tensors)
    return Measurements(
        bundle=bundle,
        build=build,
        samples=samples,
        streams=streams,
        usage=usage,
        consecutive=unalternated,
        floats=_predict(subject, subject.float_network) if subject.float_network else {},
        integers=_predict(subject, lambda image, task: network.run(image[None], task)[0]),
        layer_checks=_check_layers(subject.observed, network, subject.samples[0].image) if subject.observed else {},
        router_topk_agreement=bundle.report.get("router_topk_agreement"),
    )


def check_origin(bundle: Bundle, build: Build) -> None:
    """Raise UserError, naming both hashes, unless the build was generated from exactly this bundle."""
    if build.bundle_sha256 != bundle.sha256:
        raise UserError(
            f"build {build.name} was made from the bundle with SHA-256 {build.bundle_sha256}, bundle {bundle.name} has"
            f" {bundle.sha256}; make the build again with `moesaic generate`"
        )


def _check_match(bundle: Bundle, build: Build) -> None:
    theirs, ours = sorted(bundle.tasks), sorted(build.tasks)
    a = bundle.architecture
    if theirs != ours or (build.image_height, build.image_width) != (a.image_height, a.image_width):
        raise UserError(
            f"build {build.name} (tasks {', '.join(ours)}, {build.image_height} x {build.image_width}) was not made from bundle "
            f"{bundle.name} (tasks {', '.join(theirs)}, {a.image_height} x {a.image_width}); make it again with `moesaic generate`"
        )


def _run_reference(subject: Subject, progress: Progress) -> tuple[list[FrameRecord], ExpertUsage]:
    recorder = UsageRecorder(subject.bundle, subject.build)
    records: list[FrameRecord] = []
    with closing(ReferenceMachine(subject.build.configuration, observe=recorder.observe)) as machine:
        for job in alternating(subject.samples, list(subject.build.tasks)):
            recorder.task = job[1]
            records += run_stream(machine, subject.build, [job], lambda record: progress("reference", record))
    return records, recorder.usage


def _predict(subject: Subject, network: FloatNetwork) -> Predictions:
    return {
        (sample.name, task): network(sample.image, task)
        for sample, task in alternating(subject.samples, list(subject.build.tasks))
    }


def _check_layers(observed: Build, network: IntegerNetwork, image: np.ndarray) -> dict[str, dict[str, int]]:
    with closing(ReferenceMachine(observed.configuration)) as machine:
        return check_layers(machine, observed, network, image)

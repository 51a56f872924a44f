"""The whole of `make real`: a published backbone measured in integers, made into a multi-task network, and run in RTL."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from moesaic.campaign.kept_results import content_key, kept_result
from moesaic.errors import InternalError
from moesaic.files import sha256_of, write_file
from moesaic.hls.compiler.generate import generate
from moesaic.host.image_files import encode_png
from moesaic.model.evaluation.agreement import top_k_agreement
from moesaic.model.experiments import onnxruntime_int8
from moesaic.model.experiments.real.backbone_study import TRAINED, BackboneStudy
from moesaic.model.experiments.real.network import import_backbone, with_experts
from moesaic.model.experiments.real.photographs import (
    CALIBRATION_CROPS,
    MEASURED,
    SEEN,
    Photograph,
    calibration_crops,
    fitted,
    random_crops,
)
from moesaic.model.experiments.real.saliency_package import ORIGIN, SaliencyNetwork
from moesaic.model.experiments.real.training_set import CLASSES, Pictures, draw_pictures, training_groups
from moesaic.model.finetuning.last_blocks import frozen_tokens, train_last_blocks
from moesaic.model.network.vit import M3ViT
from moesaic.model.quantisation.golden_vectors import golden_vectors
from moesaic.model.quantisation.integer import IntegerNetwork
from moesaic.model.quantisation.post_training import integer_network
from moesaic.model.recipes.recipe import Recipe
from moesaic.sim.machines.simulated_executors import require_tools
from moesaic.sim.measurements.real.frames import Frame, Simulation
from moesaic.sim.measurements.real.report_page import Shown, overview, report_page
from moesaic.sim.measurements.road.float_network import float_network
from moesaic.sim.measurements.road.inputs import Sample
from moesaic.spec.build import Build, load_build
from moesaic.spec.bundle import Bundle, load_bundle
from moesaic.spec.configuration import HardwareConfiguration

_DISTILLING_SEED = 22
_VERSION = 4
"""Of everything that is kept; raise it when code changes what a step gives."""


@dataclass(frozen=True)
class Real:
    """A run.

    directory: where everything is written. network_file: the ONNX file of the published network. photographs: those that are
    measured and shown. seen: those to train and calibrate with. crops, scenes: number of pictures to train on. calibration: number
    of crops to calibrate with. simulated: names of the photographs whose frames run in RTL, on `processes` simulators side by side.
    methods: of onnxruntime's calibration. distilling_steps: of the backbone's training in integers.
    """

    directory: Path
    recipe: Recipe
    configuration: HardwareConfiguration
    network_file: Path
    console: Console
    photographs: Sequence[Photograph] = MEASURED
    seen: Sequence[Photograph] = SEEN
    crops: int = 192
    scenes: int = 256
    calibration: int = CALIBRATION_CROPS
    simulated: Sequence[str] = ("coffee", "camera")
    processes: int = 2
    methods: Sequence[str] = onnxruntime_int8.METHODS
    distilling_steps: int = 24
    _started: float = field(default_factory=time.perf_counter)

    def run(self) -> dict:
        """Make everything that is missing and return what report.json holds.

        Raises InternalError, after writing the report, if a byte of a simulated frame differs from the reference machine's.
        """
        height, width = self.recipe.model.image_height, self.recipe.model.image_width
        images = np.stack([fitted(photograph, height, width) for photograph in self.photographs])
        seen = [photograph.read() for photograph in self.seen]
        calibration = calibration_crops(seen, self.calibration, height, width)
        with self._step(f"import {self.network_file.name}: {ORIGIN}"):
            backbone = import_backbone(self.network_file, self.recipe.model, self.recipe.training.seed)
            published = SaliencyNetwork.load(self.network_file)
        with self._step("train four tasks on its last blocks"):
            model = self._train(with_experts(backbone, self.recipe.model, self.recipe.training.seed), published, seen)
        with self._step("measure the backbone in integers"):
            key = self._key(
                measured=sha256_of(images.tobytes()),
                calibration=sha256_of(calibration.tobytes()),
            )
            study = BackboneStudy(
                backbone,
                published,
                images,
                calibration,
                random_crops(seen, self.crops, height, width, _DISTILLING_SEED),
                self._kept,
                key,
                self.methods,
                self.distilling_steps,
                self._say,
            ).run()
        with self._step("quantise and export"):
            bundle = self._export(model, calibration, images)
        with self._step(f"generate for {self.configuration.name}"):
            build = self._generate(bundle)
        samples = [Sample(one.name, one.credit, image) for one, image in zip(self.photographs, images)]
        with self._step("simulate whole frames in RTL"):
            frames = self._simulate(build, samples)
        with self._step("draw the page"):
            report = self._report(study, bundle, frames)
            self._write(report, self._shown(model, bundle, build, samples, frames))
        return self._close(report)

    @property
    def _kept(self) -> Path:
        return self.directory / "kept"

    def _key(self, **about: object) -> str:
        """A hash of the published network and of what else a step depends on, which JSON can hold."""
        network = sha256_of(self.network_file.read_bytes())
        return content_key({"version": _VERSION, "network": network, **about})

    @contextmanager
    def _step(self, title: str) -> Iterator[None]:
        self.console.rule(f"[bold]{title}", align="left")
        started = time.perf_counter()
        yield
        self.console.print(f"[dim]{time.perf_counter() - started:.1f} s")

    def _say(self, words: str) -> None:
        self.console.print(f"  {words}", highlight=False)

    @contextmanager
    def _bar(self, words: str, total: int) -> Iterator[Progress]:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(
            *columns, TimeRemainingColumn(), TextColumn("{task.fields[note]}"), console=self.console
        ) as progress:
            progress.add_task(words, total=total, note="")
            yield progress

    def _train(self, model: M3ViT, published: SaliencyNetwork, seen: list[np.ndarray]) -> M3ViT:
        """Train from the first block with experts on, whose inputs are computed once and kept."""
        key, c = self._key(crops=self.crops, scenes=self.scenes, recipe=self.recipe.to_dict()), self.recipe.model
        first, path = min(c.architecture.moe_blocks), self._kept / f"network-{key}.safetensors"
        pictures = draw_pictures(seen, self.crops, self.scenes, c.image_height, c.image_width)
        tokens, saliency = self._features(model, published, pictures, first)
        with self._bar("training", self.recipe.training.steps) as progress:
            (bar,) = progress.task_ids

            def advance(step: int, losses: dict[str, float]) -> None:
                note = "  ".join(f"{name} {loss:.3f}" for name, loss in losses.items())
                progress.update(bar, completed=step, note=note)

            groups = training_groups(pictures, tokens, saliency, c)
            train_last_blocks(model, self.recipe, first, groups, path, advance)
        return model

    def _features(
        self, model: M3ViT, published: SaliencyNetwork, pictures: Pictures, first: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """The training pictures' tokens before block `first`, float16 [N, T, D], and the teacher's saliency, float32 [N, h, w]."""
        size = model.configuration.image_height, model.configuration.image_width
        key = self._key(crops=self.crops, scenes=self.scenes, first=first, size=size)
        path = self._kept / f"features-{key}.npz"
        if not path.is_file():
            with self._bar("features", 2 * len(pictures.images)) as progress:
                (bar,) = progress.task_ids
                saliency, _ = published.run(pictures.images, lambda count: progress.advance(bar, count))
                tokens = frozen_tokens(model, pictures.images, first, lambda count: progress.advance(bar, count))
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_suffix(".partial.npz")
            np.savez(partial, tokens=tokens, saliency=saliency.astype(np.float16))
            partial.replace(path)
        with np.load(path) as kept:
            return kept["tokens"], kept["saliency"].astype(np.float32)

    def _export(self, model: M3ViT, calibration: np.ndarray, images: np.ndarray) -> Bundle:
        network = integer_network(model, calibration)
        tasks = {
            name: dataclasses.replace(task, class_names=CLASSES if task.kind == "segmentation" else ())
            for name, task in network.tasks.items()
        }
        agreement = kept_result(
            self._kept / f"agreement-{self._key(integers=_hash_of(network))}.json",
            lambda: {"router_topk_agreement": top_k_agreement(model, network, images)},
        )
        self.console.print(f"router top-k agreement of integers with float: {agreement['router_topk_agreement']:.4f}")
        bundle = Bundle(
            name="real",
            architecture=network.architecture,
            tasks=tasks,
            tensors=network.tensors,
            golden=golden_vectors(network, images[0]),
            report=agreement | {"recipe": self.recipe.to_dict(), "origin": ORIGIN},
        )
        bundle.save(self.directory / "bundle")
        return load_bundle(self.directory / "bundle")

    def _generate(self, bundle: Bundle) -> Build:
        generate(bundle, self.configuration).save(self.directory / "build")
        return load_build(self.directory / "build")

    def _simulate(self, build: Build, samples: Sequence[Sample]) -> list[Frame]:
        jobs = [(sample, task) for sample in samples if sample.name in self.simulated for task in build.tasks]
        if not jobs:
            return []
        require_tools(["rtl"])
        simulation = Simulation(build, self.directory / "build", self._kept / "frames", self.processes)
        with self._bar("frames", len(jobs)) as progress:
            (bar,) = progress.task_ids

            def advance(frame: Frame) -> None:
                progress.advance(bar)
                progress.console.print(
                    f"  {frame.picture:<12}{frame.task:<14}{frame.cycles:>11,} cycles, {frame.mismatched_bytes} bytes differ,"
                    f" simulated in {frame.seconds:.0f} s",
                    highlight=False,
                )

            return simulation.run(jobs, advance)

    def _shown(
        self, model: M3ViT, bundle: Bundle, build: Build, samples: Sequence[Sample], frames: Sequence[Frame]
    ) -> Shown:
        network, floats = IntegerNetwork(bundle.architecture, bundle.tasks, bundle.tensors), float_network(model)
        keys = [(sample, task) for sample in samples for task in build.tasks]
        return Shown(
            build,
            samples,
            {(sample.name, task): floats(sample.image, task) for sample, task in keys},
            {(sample.name, task): network.run(sample.image[None], task)[0] for sample, task in keys},
            frames,
            ORIGIN,
        )

    def _report(self, study: dict, bundle: Bundle, frames: Sequence[Frame]) -> dict:
        backbone = study["backbone"]
        theirs = [figures["db"] for name, figures in study.items() if name.startswith("onnxruntime ")]
        return {
            "networks": [
                {
                    "name": "DINOv2 ViT-S/14",
                    "pictures": [one.name for one in self.photographs],
                    "ptq_db": backbone["ptq_db"],
                    "trained_db": study[TRAINED]["db"],
                    "iou": study[TRAINED]["iou"],
                    "ptq_iou": backbone["iou"],
                    "onnxruntime_db": max(theirs, default=None),
                }
            ],
            "edits": {name.removeprefix("edit "): one["db"] for name, one in study.items() if name.startswith("edit ")},
            "frames": [
                {name: getattr(frame, name) for name in ("picture", "task", "cycles", "mismatched_bytes")}
                for frame in frames
            ],
            "router_topk_agreement": bundle.report["router_topk_agreement"],
        }

    def _write(self, report: dict, shown: Shown) -> None:
        write_file(self.directory / "report.json", (json.dumps(report, indent=1) + "\n").encode())
        write_file(self.directory / "index.html", report_page(shown, report).encode())
        simulated = [sample for sample in shown.samples if sample.name in self.simulated]
        write_file(self.directory / "overview.png", encode_png(overview(shown, simulated or shown.samples[:1])))

    def _close(self, report: dict) -> dict:
        wrong = sum(frame["mismatched_bytes"] for frame in report["frames"])
        if wrong:
            raise InternalError(
                f"{wrong} bytes of simulated frames differ from the reference: see {self.directory / 'index.html'}"
            )
        minutes, seconds = divmod(round(time.perf_counter() - self._started), 60)
        self.console.print(
            f"all bytes of {len(report['frames'])} frames are equal; this run took {minutes} min {seconds} s"
        )
        self.console.print(f"page: {self.directory / 'index.html'}, figures: report.json", soft_wrap=True)
        return report


def _hash_of(network: IntegerNetwork) -> str:
    """A hash of all integers of a network."""
    return sha256_of(b"".join(name.encode() + value.tobytes() for name, value in sorted(network.tensors.items())))

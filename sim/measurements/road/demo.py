"""The whole road in one run: train, measure, export, generate, simulate, compare and report."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from moesaic.errors import InternalError
from moesaic.hls.compiler.generate import generate
from moesaic.model.evaluation.accuracy_table import accuracy_table
from moesaic.model.export.bundle_export import build_bundle
from moesaic.model.network.vit import M3ViT
from moesaic.model.recipes.recipe import Recipe
from moesaic.model.training import checkpoint
from moesaic.model.training.train import train
from moesaic.pages.terminal import print_table
from moesaic.sim.machines.simulated_executors import SIMULATED, simulated_executors
from moesaic.sim.measurements.road.comparison import Subject, measure
from moesaic.sim.measurements.road.figures import disagreements
from moesaic.sim.measurements.road.float_network import float_network
from moesaic.sim.measurements.road.inputs import Sample
from moesaic.sim.measurements.road.road_report import write_report
from moesaic.sim.measurements.road.road_tables import agreement_table, cycles_table
from moesaic.sim.measurements.road.streams import FrameRecord
from moesaic.spec.build import load_build
from moesaic.spec.bundle import Bundle, load_bundle
from moesaic.spec.configuration import HardwareConfiguration


@dataclass(frozen=True)
class Demo:
    """A run of the whole road.

    directory: where everything is written. samples: inputs of the recipe's image size. validation: number of held-out scenes on
    which accuracy is measured. executors: names of the machines to compare with the reference machine.
    """

    directory: Path
    recipe: Recipe
    configuration: HardwareConfiguration
    samples: Sequence[Sample]
    console: Console
    validation: int = 128
    executors: Sequence[str] = SIMULATED

    def run(self) -> dict:
        """Run the road and return the figures of the report.

        Raises InternalError, after writing the report, if anything differs that must be equal.
        """
        started = time.perf_counter()
        with self._step("train"):
            model = self._train().eval()
        with self._step("measure and export"):
            bundle = self._export(model)
        with self._step(f"generate for {self.configuration.name}"):
            build = self._generate(bundle)
        with self._step("build the simulators"):
            executors = simulated_executors(self.directory / "build", self.configuration, self.executors)
            for open_executor in executors.values():
                open_executor().close()
        with self._step("run every task on every machine"):
            observed = generate(bundle, self.configuration, observe=True)
            subject = Subject(bundle, build, self.samples, observed, float_network(model))
            report = write_report(measure(subject, executors, self._show_frame), self.directory)
        show_report(report, self.console)
        problems = disagreements(report)
        if problems:
            raise InternalError(f"{'; '.join(problems)}: see {self.directory / 'report.html'}")
        minutes, seconds = divmod(round(time.perf_counter() - started), 60)
        self.console.print(f"all memory images are equal; the road took {minutes} min {seconds} s")
        self.console.print(f"report: {self.directory / 'report.html'} and report.json", soft_wrap=True)
        return report

    @contextmanager
    def _step(self, title: str) -> Iterator[None]:
        self.console.rule(f"[bold]{title}", align="left")
        started = time.perf_counter()
        yield
        self.console.print(f"[dim]{title}: {time.perf_counter() - started:.1f} s")

    def _train(self) -> M3ViT:
        """Train the model, resuming from an existing checkpoint of the same recipe; a checkpoint of another recipe is replaced."""
        path = self.directory / "model.safetensors"
        resume = path.is_file() and checkpoint.load(path).recipe == self.recipe
        if resume:
            self.console.print(f"goes on from {path}", soft_wrap=True)
        return train(self.recipe, path, resume=resume, console=self.console)

    def _export(self, model: M3ViT) -> Bundle:
        bundle = build_bundle("demo", model, self.recipe, validation=self.validation)
        bundle.save(self.directory / "bundle")
        bundle = load_bundle(self.directory / "bundle")
        metrics = {name: task.metrics for name, task in bundle.tasks.items()}
        print_table(self.console, accuracy_table(metrics), "accuracy on held-out images")
        self.console.print(
            f"router top-k agreement of integers with float: {bundle.report['router_topk_agreement']:.4f}"
        )
        return bundle

    def _generate(self, bundle: Bundle):
        generate(bundle, self.configuration).save(self.directory / "build")
        build = load_build(self.directory / "build")
        self.console.print(
            f"fingerprint {build.fingerprint}, {build.report['constant_bytes']:,} bytes of weights and programs"
        )
        return build

    def _show_frame(self, executor: str, record: FrameRecord) -> None:
        cycles = f"{record.counters['cycles']:>9,} cycles" if "cycles" in record.counters else ""
        self.console.print(
            f"  {executor:<10}{record.sample:<14}{record.task:<14}{record.seconds:6.2f} s {cycles}", highlight=False
        )


def show_report(report: dict, console: Console) -> None:
    """Print the most important figures as tables. report: as moesaic.sim.measurements.road.figures.figures returns it."""
    agreement = agreement_table(report).select("executor", "frames", "bytes compared", "bytes that differ")
    print_table(console, agreement, "agreement with the reference machine")
    cycles = cycles_table(report)
    if cycles is None:
        return
    shown = [column.heading for column in cycles.columns if "DRAM" not in column.heading]
    print_table(console, cycles.select(*shown), "RTL simulation")
    switch = report["task_switch"]
    console.print(f"{switch['task_changes']} changes of task cost {switch['extra_cycles']:+,} cycles")

"""Run cases one after the other, keep each finished one, and write bench.json and the page after each."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from rich.console import Console
from rich.progress import Progress as Display
from rich.progress import ProgressColumn, SpinnerColumn, Task, TextColumn, TimeElapsedColumn
from rich.text import Text

from moesaic.errors import InternalError, UserError
from moesaic.files import write_file
from moesaic.hls.compiler.cycle_estimate import estimate_frame
from moesaic.model.network.vit import M3ViT
from moesaic.sim.measurements.benchmark.asked import asked_figures, missed
from moesaic.sim.measurements.benchmark.benchmark_page import benchmark_page
from moesaic.sim.measurements.benchmark.cases import DRAM_PART, FRAMES, PARTS, Case, Frame
from moesaic.sim.measurements.benchmark.derived import derived_figures, joint_figures, wrong_bytes
from moesaic.sim.measurements.benchmark.emulator_speed import emulator_speed
from moesaic.sim.measurements.benchmark.measurement import Prepared, Progress, measure, prepare
from moesaic.sim.measurements.benchmark.source_hashes import read_hash, sources_hash
from moesaic.sim.measurements.benchmark.technique_resources import synthesised_modules
from moesaic.spec.board import clock_mhz
from moesaic.spec.bundle import Bundle
from moesaic.spec.executor import MachineFault

_ALL_PARTS = (*PARTS, DRAM_PART)
_OF_ANY_CONFIGURATION = ("joint",)
_PLACES = {(frame.model, frame.input): place for place, frame in enumerate(FRAMES)}


class BundleSource(Protocol):
    """Provides the networks, by frame."""

    def get(self, frame: Frame) -> Bundle:
        """Return the bundle of a frame's model at the frame's image size."""
        ...

    def float_network(self, frame: Frame) -> M3ViT:
        """Return a network of the same size in float32, in evaluation mode, with any weights."""
        ...


class _Cycles(ProgressColumn):
    """The current step and the cycles simulated so far."""

    def render(self, task: Task) -> Text:
        work: Progress = task.fields["work"]
        cycles = work.cycles()
        return Text(f"{work.step}{f', {cycles:,} cycles' if cycles else ''}")


@dataclass(frozen=True)
class _Sources:
    """Hashes of the sources at the start of a run. everything: sources_hash(). read: read_hash(), of the files that are read later."""

    everything: str
    read: str

    def check(self) -> None:
        """Raise UserError if a file that a running benchmark reads has changed: its figures would belong to no state of the sources."""
        if read_hash() != self.read:
            raise UserError("sources were changed while the benchmark ran, so this has no result; run it again")


@dataclass(frozen=True)
class Session:
    """A benchmark.

    output: directory for bench.json and index.html. synthesis: the resources.json written by `moesaic resources`; it need not exist.
    simulators, measurements: directories in which compiled simulators and finished cases are kept.
    """

    output: Path
    bundles: BundleSource
    console: Console
    synthesis: Path
    simulators: Path
    measurements: Path

    def run(self, cases: Sequence[Case]) -> dict:
        """Run the cases that have no result yet, and return the content of bench.json.

        A result remains valid as long as its program, weights, image, RTL, simulation sources, sizes and DRAM rate stay the same. A
        missed target is reported but is no error.

        Raises, after everything has been written:
            InternalError: machines differ in a byte, or a case failed.
            UserError: cases failed, but only because they do not fit their configuration or because sources changed.
        """
        sources = _Sources(sources_hash(), read_hash())
        entries = self._others(cases, sources)
        failed: list[str] = []
        unfit = 0
        for number, case in enumerate(cases):
            title = f"{number + 1}/{len(cases)} {name_of(case)}"
            try:
                entries[case.part].append(self._entry(case, title, sources))
                entries[case.part].sort(key=_order)
            except (UserError, MachineFault, InternalError) as error:
                failed.append(f"{name_of(case)}: {str(error).splitlines()[0]}")
                unfit += isinstance(error, UserError)
                self.console.print(f"{title}: {error}", style="red", highlight=False)
            document = self._write(cases[0], entries, len(cases) - number - 1, failed, sources)
        failed += [
            f"{entry['model']} {entry['input']}: {wrong_bytes(entry)} bytes differ between machines"
            for entry in (entry for part in entries.values() for entry in part)
            if wrong_bytes(entry)
        ]
        for line in missed(document["asked"]):
            self.console.print(f"missed: {line}", style="yellow", highlight=False)
        if failed and unfit == len(failed):
            raise UserError("; ".join(failed))
        if failed:
            raise InternalError("; ".join(failed))
        return document

    def _others(self, cases: Sequence[Case], sources: _Sources) -> dict[str, list[dict]]:
        """The entries of earlier runs for other cases, if everything that their figures depend on is unchanged.

        Those of another configuration are dropped, but for the joint part, whose entries each name their own.
        """
        entries: dict[str, list[dict]] = {part: [] for part in _ALL_PARTS}
        path = self.output / "bench.json"
        try:
            earlier = json.loads(path.read_text(encoding="utf-8"))
            same = earlier["fingerprint"] == cases[0].configuration.fingerprint
            chosen = {_identity_of(case) for case in cases}
            for part in _ALL_PARTS if same else _OF_ANY_CONFIGURATION:
                entries[part] = [
                    entry
                    for entry in earlier[part]
                    if entry["sources"] == sources.everything and _identity(part, entry) not in chosen
                ]
        except (OSError, ValueError, KeyError, TypeError):
            pass  # no earlier run, or one by a different version: nothing to keep
        return entries

    def _entry(self, case: Case, title: str, sources: _Sources) -> dict:
        sources.check()
        prepared = prepare(case, self._bundle(case, title))
        result = self._result(prepared, title, sources)
        bundle = prepared.bundle
        guess = estimate_frame(
            bundle.architecture, bundle.tasks, case.frame.results(result["task"]), case.configuration, case.schedule,
            bytes_per_cycle=case.bytes_per_cycle,
        )  # fmt: skip
        figures = result | derived_figures(case, bundle, result["task"], result["cycles"])
        return {
            "label": case.label,
            "series": case.series,
            **figures,
            **(joint_figures(case, bundle, result["task"], figures) if case.part == "joint" else {}),
            "sources": sources.everything,
            "estimated_cycles": round(guess.encoder_cycles),
            "estimated_total_cycles": round(guess.cycles),
        }

    def _bundle(self, case: Case, title: str) -> Bundle:
        with self._display(title, Progress("random weights, measured and quantised")):
            return self.bundles.get(case.frame)

    def _result(self, prepared: Prepared, title: str, sources: _Sources) -> dict:
        path = self.measurements / f"{prepared.key}.json"
        if path.exists():
            result = json.loads(path.read_text(encoding="utf-8"))
            self.console.print(f"{title}: {result['cycles']:,} cycles, kept from before", highlight=False)
            return result
        work = Progress()
        started = time.perf_counter()
        with self._display(title, work):
            result = measure(prepared, work, self.simulators)
            if prepared.case.part == "frames":
                work.step = "emulator and PyTorch, in turns"
                result |= emulator_speed(prepared, self.bundles.float_network(prepared.case.frame))
        sources.check()
        write_file(path, (json.dumps(result, indent=1) + "\n").encode())
        wrong = wrong_bytes(result)
        self.console.print(
            f"{title}: {result['cycles']:,} cycles, "
            f"{f'{wrong} BYTES DIFFER' if wrong else 'equal to the reference'}, {time.perf_counter() - started:.0f} s",
            highlight=False,
        )
        return result

    def _display(self, title: str, work: Progress) -> Display:
        display = Display(
            SpinnerColumn(), TextColumn("{task.description}"), _Cycles(), TimeElapsedColumn(), console=self.console,
            transient=True, refresh_per_second=4,
            disable=not self.console.is_terminal,
        )  # fmt: skip
        display.add_task(title, total=None, work=work)
        return display

    def _write(
        self, first: Case, entries: dict[str, list[dict]], left: int, failed: Sequence[str], sources: _Sources
    ) -> dict:
        document = {
            "assumed_clock_hz": 1e6 * clock_mhz(first.configuration),
            "configuration": first.configuration.to_dict(),
            "fingerprint": first.configuration.fingerprint,
            "sources": sources.everything,
            "asked": asked_figures({part: entries[part] for part in PARTS}),
            **entries,
            "modules": synthesised_modules(first.configuration, self.synthesis),
            "cases_left": left,
            "failed": list(failed),
        }
        write_file(self.output / "bench.json", (json.dumps(document, indent=1) + "\n").encode())
        write_file(self.output / "index.html", benchmark_page(document).encode())
        return document


_Identity = tuple[str, str, str, str, str, str]


def _identity(part: str, entry: dict) -> _Identity:
    return part, entry["model"], entry["input"], entry["label"], entry["series"], entry["configuration"]["name"]


def _identity_of(case: Case) -> _Identity:
    return case.part, case.frame.model, case.frame.input, case.label, case.series, case.configuration.name


def _order(entry: dict) -> int:
    """Position of an entry within its part, the same as in a run of all frames."""
    return _PLACES.get((entry["model"], entry["input"]), 0)


def name_of(case: Case) -> str:
    """A description of a case in words."""
    what = "" if case.part == "frames" else f", {case.part}: {case.label}"
    off = " off" if case.part == "ablation" and not case.label.startswith("all") else ""
    return f"{case.frame.model} {case.frame.input}{what}{off}"

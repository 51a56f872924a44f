"""Run cases, keep each finished one, and write bench.json and the page after each."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from rich.console import Console

from moesaic.campaign import case as campaign
from moesaic.campaign.campaign import run_campaign
from moesaic.campaign.progress import watched
from moesaic.campaign.workers import OpenWorkers
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


@dataclass(frozen=True)
class _Sources:
    """Hashes of the sources at the start of a run. everything: sources_hash(). read: read_hash(), of the files that are read later."""

    everything: str
    read: str


@dataclass(frozen=True)
class Session:
    """A benchmark.

    output: directory for bench.json and index.html. synthesis: the resources.json written by `moesaic resources`; it need not exist.
    simulators, measurements: directories in which compiled simulators and finished cases are kept. workers: who runs the cases.
    """

    output: Path
    bundles: BundleSource
    console: Console
    synthesis: Path
    simulators: Path
    measurements: Path
    workers: OpenWorkers

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
        places = {_identity_of(case): place for place, case in enumerate(cases)}

        def fail(case: Case, error: Exception) -> None:
            nonlocal unfit
            failed.append(f"{name_of(case)}: {str(error).splitlines()[0]}")
            unfit += isinstance(error, UserError)
            self.console.print(f"{_title(case, cases)}: {error}", style="red", highlight=False)

        def prepared() -> Iterator[campaign.Case]:
            for case in cases:
                try:
                    require_unchanged(sources.read)
                    ready = prepare(case, self.bundles.get(case.frame))
                except UserError as error:
                    fail(case, error)
                    continue
                arguments = ready, self.simulators, self.bundles.float_network, sources.read
                yield campaign.Case(ready.key, _title(case, cases), run_case, arguments)

        outcomes = run_campaign(
            prepared(), self.workers, kept=self.measurements, console=self.console, title="cases", total=len(cases)
        )
        for done, outcome in enumerate(outcomes, 1):
            ready: Prepared = outcome.case.arguments[0]
            if outcome.error is not None:
                fail(ready.case, outcome.error)
            else:
                entries[ready.case.part].append(self._entry(ready, outcome.result, sources))
                entries[ready.case.part].sort(key=lambda entry: _order(entry, ready.case.part, places))
                kept = "kept from before" if outcome.kept else _verdict(outcome.result)
                line = f"{outcome.case.title}: {outcome.result['cycles']:,} cycles, {kept}"
                self.console.print(line, highlight=False)
            self._write(cases[0], entries, len(cases) - done, failed, sources)
        document = self._write(cases[0], entries, 0, failed, sources)
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

    def _entry(self, prepared: Prepared, result: dict, sources: _Sources) -> dict:
        case, bundle = prepared.case, prepared.bundle
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


def _order(entry: dict, part: str, places: Mapping[_Identity, int]) -> tuple[int, int]:
    """Position of an entry within its part, the same as in a run of all frames. places: of the cases of this run."""
    return _PLACES.get((entry["model"], entry["input"]), 0), places.get(_identity(part, entry), -1)


def _title(case: Case, cases: Sequence[Case]) -> str:
    return f"{cases.index(case) + 1}/{len(cases)} {name_of(case)}"


def _verdict(result: dict) -> str:
    wrong = wrong_bytes(result)
    return f"{wrong} BYTES DIFFER" if wrong else "equal to the reference"


def run_case(prepared: Prepared, simulators: Path, float_network: Callable[[Frame], M3ViT], read: str) -> dict:
    """The figures of a case, as they are kept. float_network: see BundleSource. read: `read_hash` when the benchmark began.

    UserError if a file that is read has changed since, and what `measure` raises.
    """
    work = Progress()
    with watched(lambda: f"{work.step}{f', {work.cycles():,} cycles' if work.cycles() else ''}"):
        result = measure(prepared, work, simulators)
        if prepared.case.part == "frames":
            work.step = "emulator and PyTorch, in turns"
            result |= emulator_speed(prepared, float_network(prepared.case.frame))
    require_unchanged(read)
    return result


def require_unchanged(read: str) -> None:
    """UserError if a file that a running benchmark reads has changed. read: `read_hash` before."""
    if read_hash() != read:
        raise UserError("sources were changed while the benchmark ran, so this has no result; run it again")


def name_of(case: Case) -> str:
    """A description of a case in words."""
    what = "" if case.part == "frames" else f", {case.part}: {case.label}"
    off = " off" if case.part == "ablation" and not case.label.startswith("all") else ""
    return f"{case.frame.model} {case.frame.input}{what}{off}"

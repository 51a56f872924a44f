"""The page of `make real`: the photographs, every task in float, in integers and from the RTL, and what the integers cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from moesaic.host.image_files import encode_png
from moesaic.pages.document import cards, page, paragraph, picture, section, verdict
from moesaic.pages.markup import Markup, element, join
from moesaic.pages.number_formats import count, decimals
from moesaic.pages.tables import Cell, Column, Table
from moesaic.sim.measurements.real.frames import Frame
from moesaic.sim.measurements.road.inputs import Sample
from moesaic.sim.measurements.road.rendering import legend, render_row
from moesaic.spec.build import Build
from moesaic.spec.clock import CLOCK_HZ
from moesaic.spec.predictions import decode
from moesaic.spec.resize import resize

_SHOWN = 168  # pixels along a picture's edge on the page and in the picture for the README


@dataclass(frozen=True)
class Shown:
    """What the page shows.

    floats, integers: (picture, task) to outputs of the float network, real values, and of the integer network, int16, both
    [height, width, channels]. frames: those that ran on the RTL. origin: of the backbone, in words.
    """

    build: Build
    samples: Sequence[Sample]
    floats: Mapping[tuple[str, str], np.ndarray]
    integers: Mapping[tuple[str, str], np.ndarray]
    frames: Sequence[Frame]
    origin: str

    def decoded(self, sample: Sample, task: str) -> dict[str, np.ndarray]:
        """The predictions of a picture by machine: float, integers, and RTL if that frame was simulated."""
        definition, key = self.build.tasks[task], (sample.name, task)
        results = {
            "float": decode(definition.kind, self.floats[key], 1.0),
            "integers": decode(definition.kind, self.integers[key], definition.output_scale),
        }
        for frame in self.frames:
            if (frame.picture, frame.task) == key:
                results["RTL"] = decode(definition.kind, frame.output, definition.output_scale)
        return results


def report_page(shown: Shown, report: dict) -> str:
    """The whole HTML document. report: what report.json holds."""
    return page("real", _header(shown, report), _pictures(shown), _frames(report), _networks(report))


def overview(shown: Shown, samples: Sequence[Sample]) -> np.ndarray:
    """One picture, uint8 [h, w, 3]: a row for each sample, with the photograph and every task, from the RTL where it was simulated."""
    rows = []
    for sample in samples:
        tiles = [resize(sample.image, _SHOWN, _SHOWN)]
        for task, definition in shown.build.tasks.items():
            images = render_row(definition, list(shown.decoded(sample, task).values()))
            tiles.append(resize(images[-1], _SHOWN, _SHOWN))
        rows.append(np.concatenate(tiles, axis=1))
    return np.concatenate(rows)


def _header(shown: Shown, report: dict) -> Markup:
    frames = report["frames"]
    wrong = sum(frame["mismatched_bytes"] for frame in frames)
    values: list[tuple[Markup | str, str]] = [
        (
            verdict(not wrong, f"{wrong:,}"),
            f"bytes differ between RTL and reference machine, {len(frames)} whole frames",
        )
    ]
    if frames:
        mean = sum(frame["cycles"] for frame in frames) / len(frames)
        values += [
            (f"{mean:,.0f}", "cycles per frame, mean"),
            (f"{1e3 * mean / CLOCK_HZ:.2f} ms", f"at an assumed {CLOCK_HZ / 1e6:.0f} MHz"),
        ]
    network = report["networks"][0]
    values.append((f"{network['trained_db'] or network['ptq_db']:.1f} dB", f"{network['name']} in int8, final norm"))
    build = shown.build
    about = (
        f"{len(build.tasks)} tasks on one backbone with experts, {build.image_height}x{build.image_width} pixels, on the simulated "
        f"RTL of {build.configuration.name}. Backbone: {shown.origin}. Saliency was learned from its decoder, the other tasks "
        "from rendered scenes: no photograph here was trained on, and depth, normals and segmentation have never had the truth "
        "about any photograph."
    )
    return join(element("h1", "Photographs on the accelerator"), paragraph(about, "soft"), cards(values))


def _pictures(shown: Shown) -> Markup:
    introduction = (
        "Each task in floating point, in the integers of the accelerator, and from its RTL where that frame was simulated. The "
        "pictures of one cell row share a colour scale."
    )
    parts: list[Markup] = [legend(name, task) for name, task in shown.build.tasks.items()]
    for sample in shown.samples:
        rows = []
        for task, definition in shown.build.tasks.items():
            decoded = shown.decoded(sample, task)
            images = render_row(definition, list(decoded.values()))
            cells = [element("td", picture(encode_png(_enlarged(image)), name)) for name, image in zip(decoded, images)]
            rows.append(element("tr", element("th", task), *cells))
        parts += [
            element("h3", sample.name),
            paragraph(sample.origin, "soft"),
            picture(encode_png(sample.image), "photograph"),
            element("table", *rows),
        ]
    return section("Pictures", introduction, *parts)


def _enlarged(image: np.ndarray) -> np.ndarray:
    return resize(np.ascontiguousarray(image), _SHOWN, _SHOWN)


def _frames(report: dict) -> Markup:
    columns = (
        Column("photograph"), Column("task"), Column("cycles", count), Column("ms at 300 MHz (assumed)", decimals(3)),
        Column("bytes that differ", count),
    )  # fmt: skip
    rows = [
        (
            frame["picture"], frame["task"], frame["cycles"], 1e3 * frame["cycles"] / CLOCK_HZ,
            Cell(frame["mismatched_bytes"], "bad" if frame["mismatched_bytes"] else "good"),
        )
        for frame in report["frames"]
    ]  # fmt: skip
    introduction = "Whole frames on the simulated RTL, compared with the reference machine over the whole frame memory."
    return section("Frames", introduction, Table(columns, rows).to_html())


def _networks(report: dict) -> Markup:
    decibel = decimals(1, " dB")
    networks = Table(
        (
            Column("network"), Column("int8, post-training", decibel), Column("after training in integers", decibel),
            Column("onnxruntime int8, its best", decibel), Column("least IoU of saliency with float", decimals(3)),
        ),
        [
            (one["name"], one["ptq_db"], one["trained_db"], one["onnxruntime_db"], min(one["iou"]))
            for one in report["networks"]
        ],
    )  # fmt: skip
    edits = Table((Column("edit"), Column("int8, post-training", decibel)), list(report["edits"].items()))
    introduction = (
        "Signal to noise of the final norm over all tokens, 10 log10(sum float² / sum (integer - float)²), on the photographs "
        "above, calibrated on others. The edits change the trained network's weights but not, or hardly, its function."
    )
    return section("What the integers cost", introduction, networks.to_html(), edits.to_html())

"""Quantise one network with Brevitas. A script for an environment that holds Brevitas, and neither this project nor anything else of it.

    python brevitas_worker.py DIRECTORY

The directory holds job.json (sizes of a `PlainNetwork`, `batch`, and the entries of `moesaic.model.experiments.ptq.brevitas_peer.Setting`),
weights.pt, its state dictionary, and calibration.npy and measured.npy, normalised images float32 [N, 3, h, w]. Added to it are
TASK.npy, predictions for the measured images. Lines on the standard output say what is done.

The steps and their order are those of Brevitas' own script, brevitas_examples/imagenet_classification/ptq/ptq_evaluate.py, by its own
functions in `ptq_common`.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


class OneTask(nn.Module):
    """The network with one task at a time, since Brevitas' loops give a network its images alone."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network, self.task = network, next(iter(network.tasks))

    def forward(self, images: Tensor) -> Tensor:
        return self.network(images, self.task)


class Loader:
    """Batches with each task in turn, in the form of a data loader: images and a label that is not used."""

    def __init__(self, model: OneTask, images: Tensor, batch: int) -> None:
        self.model, self.batches = model, images.split(batch)

    def __len__(self) -> int:
        return len(self.batches) * len(self.model.network.tasks)

    def __iter__(self) -> Iterator[tuple[Tensor, int]]:
        for task in self.model.network.tasks:
            self.model.task = task
            for images in self.batches:
                yield images, 0


def run(directory: Path) -> None:
    """Do what the module's docstring says, for one directory."""
    job = json.loads((directory / "job.json").read_text())
    # Of another environment than the one in which types are checked; and of the directory of this script.
    common: Any = importlib.import_module("brevitas_examples.imagenet_classification.ptq.ptq_common")
    plain: Any = importlib.import_module("plain_network")
    torch.set_num_threads(job["threads"])
    network = plain.PlainNetwork(job["sizes"]).eval()
    network.load_state_dict(torch.load(directory / "weights.pt", weights_only=True))
    model = OneTask(network)
    calibration, measured = (
        torch.from_numpy(np.load(directory / f"{name}.npy")) for name in ("calibration", "measured")
    )
    loader = Loader(model, calibration, job["batch"])
    with torch.no_grad():
        if job["equalise"]:
            print("equalising activations", flush=True)
            common.apply_act_equalization(model, loader, layerwise=True)
        quantised = common.quantize_model(
            model, backend="layerwise", weight_bit_width=8, act_bit_width=8, bias_bit_width=32,
            weight_quant_granularity="per_channel", act_quant_percentile=job["percentile"],
            act_quant_type=job["activations"], scale_factor_type="float_scale", quant_format="int",
        )  # fmt: skip
        loader.model = quantised
        quantised.eval()
        for images, _ in loader:
            quantised(images)  # weights' scales come from the first forward pass
        print("calibrating", flush=True)
        common.calibrate(loader, quantised)
        if job["gptq"]:
            print("rounding weights (GPTQ)", flush=True)
            common.apply_gptq(loader, quantised, act_order=True)
        print("correcting biases", flush=True)
        common.apply_bias_correction(loader, quantised)
        print("predicting", flush=True)
        for task in network.tasks:
            quantised.task = task
            np.save(
                directory / f"{task}.npy", torch.cat([quantised(part) for part in measured.split(job["batch"])]).numpy()
            )


if __name__ == "__main__":
    run(Path(sys.argv[1]))

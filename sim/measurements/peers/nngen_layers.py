"""Generate one layer with NNgen. A script for an environment that holds NNgen, and neither this project nor anything else of it.

    python nngen_layers.py DIRECTORY

The directory holds layer.json (picture, shift, inputs_at_once, outputs_at_once, beat_bits) and inputs.npy, weights.npy and bias.npy, as
in moesaic.sim.measurements.peers.layers. Added to it: layer.v, NNgen's Verilog; memory.npy, uint8, the memory from address 0 on with
all operands; expected.npy, the result by NNgen's own software; and nngen.json, where the result lies.
"""

from __future__ import annotations

import importlib
import json
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

TOP = "nngen_layer"


def generate(directory: Path) -> None:
    """Do what the module's docstring says, for one directory."""
    ng: Any = importlib.import_module("nngen")  # of another environment than the one in which types are checked
    job = json.loads((directory / "layer.json").read_text())
    inputs, weights, bias = (np.load(directory / f"{name}.npy") for name in ("inputs", "weights", "bias"))
    if job["picture"]:
        inputs = inputs[np.newaxis]
    left = ng.placeholder(ng.int8, inputs.shape, name="inputs")
    right = ng.variable(ng.int8, weights.shape, name="weights")
    added = ng.variable(ng.int32, bias.shape, name="bias")
    shared = {
        "bias": added,
        "rshift_out": job["shift"],
        "asymmetric_clip": True,
        "dtype": ng.int8,
        "sum_dtype": ng.int32,
        "name": "layer",
    }
    if job["picture"]:
        result = ng.conv2d(
            left, right, (1, 1, 1, 1), padding="SAME", par_ich=job["inputs_at_once"], par_och=job["outputs_at_once"],
            **shared,
        )  # fmt: skip
    else:
        result = ng.matmul(
            left, right, transposed_b=True, par_left_col=job["inputs_at_once"], par_out_col=job["outputs_at_once"], **shared
        )  # fmt: skip
    ng.to_verilog(
        [result], TOP, filename=str(directory / "layer.v"), config={"maxi_datawidth": job["beat_bits"]}, silent=True
    )
    values = {"inputs": inputs, "weights": weights, "bias": bias}
    (expected,) = ng.eval([result], **{name: value.astype(np.int64) for name, value in values.items()})
    if any(list(each.aligned_shape) != list(each.shape) for each in (left, right, added, result)):
        raise SystemExit("NNgen pads an operand in memory: choose channels that its parallelism divides")
    ends = [(left, inputs), (right, weights), (added, bias)]
    memory = np.zeros(max(each.addr + each.memory_size for each, _ in [*ends, (result, None)]), np.uint8)
    for place, value in ends:
        memory[place.addr : place.addr + value.nbytes] = value.reshape(-1).view(np.uint8)
    np.save(directory / "memory.npy", memory)
    np.save(directory / "expected.npy", expected.reshape(-1, weights.shape[0]).astype(np.int8))
    (directory / "nngen.json").write_text(
        json.dumps({"version": version("nngen"), "result_at": int(result.addr), "numpy": np.__version__})
    )


if __name__ == "__main__":
    generate(Path(sys.argv[1]))

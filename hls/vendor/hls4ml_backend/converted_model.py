"""What a converted model has in addition to hls4ml's graph: its bundle, the build made from it and the C simulation."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from moesaic.emulator import Emulator
from moesaic.errors import UserError
from moesaic.hls.compiler.generate import generate
from moesaic.hls.vendor.hls4ml_backend.image_batches import to_output, to_pixels
from moesaic.spec.build import Build
from moesaic.spec.bundle import Bundle
from moesaic.spec.configuration import HardwareConfiguration
from moesaic.spec.pathway_names import split_pathway_name


@dataclass
class Session:
    """The state of one converted model.

    shapes: of every value of the ONNX graph, by name, without the batch.
    emulator: None until the model is compiled.
    """

    bundle: Bundle
    configuration: HardwareConfiguration
    shapes: dict[str, list[int]] = field(repr=False)
    emulator: Emulator | None = None

    @cached_property
    def build(self) -> Build:
        """The build, made on first access. Raises UserError if the network does not fit the configuration."""
        return generate(self.bundle, self.configuration)

    def predict(self, x: np.ndarray, tasks: list[str]) -> list[np.ndarray]:
        """Each task's outputs for images x; moesaic.hls.vendor.hls4ml_backend.image_batches defines the units of both.

        x: (N, 3, height, width), float or uint8, or one image without N.
        tasks: TASK or TASK@ALTERNATIVE.

        The outputs are (N, channels, height, width), float64 if x is float64, else float32; without N if x has none. A classification
        gives logits (N, classes), features are (N, tokens, width). Raises UserError if the model is not compiled or x is not such an array.
        """
        if self.emulator is None:
            raise UserError("the model is not compiled, so it cannot predict; call compile() first")
        dtype = np.dtype(np.float64 if x.dtype == np.float64 else np.float32)
        build = self.build
        pixels = to_pixels(x, build.image_height, build.image_width, build.input)
        memory = build.new_memory()
        results = []
        for name in tasks:
            task = split_pathway_name(name)[0]
            height, width, _ = build.tasks[task].output_shape
            raw = np.zeros((len(pixels), height, width, build.tasks[task].channels), np.int16)
            for i, image in enumerate(pixels):
                build.write_image(memory.frame, image)
                self.emulator.run(build.task(name).program, memory, 0)
                raw[i] = build.read_output(memory.frame, task)
            output = to_output(build.tasks[task], raw, dtype)
            results.append(output if x.ndim == 4 else output[0])
        return results

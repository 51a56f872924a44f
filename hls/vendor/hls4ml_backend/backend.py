"""The hls4ml backend, a subclass of its `Backend`: configuration, layers, flows, compile, predict and build."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np
from hls4ml.backends.fpga.fpga_backend import FPGABackend
from hls4ml.model.flow import register_flow
from hls4ml.model.layers import Constant, Input
from hls4ml.model.optimizer import model_optimizer

from moesaic.emulator import Emulator, compile_emulator
from moesaic.errors import UserError
from moesaic.hls.vendor.hls4ml_backend import NAME
from moesaic.hls.vendor.hls4ml_backend.bundle_source import find_bundle
from moesaic.hls.vendor.hls4ml_backend.converted_model import Session
from moesaic.hls.vendor.hls4ml_backend.operations import Operation, register_operations, value_shapes
from moesaic.hls.vendor.hls4ml_backend.options import initial_config
from moesaic.hls.vendor.hls4ml_backend.synthesis import run_vitis
from moesaic.hls.vendor.hls4ml_backend.writer import build_directory
from moesaic.spec.configuration import load_configuration
from moesaic.spec.pathway_names import split_pathway_name

if TYPE_CHECKING:  # hls4ml has no ModelGraph yet when it loads its backends
    from hls4ml.model.graph import ModelGraph

_VITIS_FOLDER = "vitis"


class MoesaicBackend(FPGABackend):
    """Runs the network of a bundle on the accelerator. Its integers come from the bundle: nothing is quantised here."""

    def __init__(self) -> None:
        super().__init__(NAME)
        self._sessions: WeakKeyDictionary[ModelGraph, Session] = WeakKeyDictionary()
        self._default_flow = register_flow("convert", ["moesaic:select_tasks"], backend=NAME)
        self._writer_flow = register_flow("write", ["moesaic:write_build"], requires=[self._default_flow], backend=NAME)

    def get_default_flow(self) -> str:
        """Name of the flow that every conversion runs."""
        return self._default_flow

    def get_writer_flow(self) -> str:
        """Name of the flow that `ModelGraph.write` runs."""
        return self._writer_flow

    def create_initial_config(self, **options: object) -> dict:
        """hls4ml's configuration of a conversion, from its options. All may be left out; defaults are in parentheses.

        configuration: of the hardware, a name in configs/ or the path of a TOML file ("tiny").
        task: the outputs wanted, one or a list of TASK or TASK@ALTERNATIVE (every output of the ONNX).
        part, board: must be those of the configuration.
        clock_period: ns, for build() (3.33).
        io_type: only "io_parallel", hls4ml's default, is accepted, and it changes nothing.

        Raises UserError for any other option or value.
        """
        register_operations()
        return initial_config(options)

    def create_layer_class(self, layer_class: type) -> type:
        """Inputs and constants keep their class, any other layer becomes an `Operation`: no layer is generated on its own."""
        if issubclass(layer_class, Input | Constant):
            return super().create_layer_class(layer_class)
        known_as = "" if layer_class is Operation else layer_class.__name__
        return type(NAME + layer_class.__name__, (Operation,), {"known_as": known_as})

    def session(self, model: ModelGraph) -> Session:
        """The session of a model; the first call reads the model's bundle. Raises UserError if there is none."""
        if model not in self._sessions:
            import onnx

            path = model.config.get_config_value("OnnxModel")
            self._sessions[model] = Session(
                bundle=find_bundle(path),
                configuration=load_configuration(model.config.get_config_value("Configuration")),
                shapes=value_shapes(onnx.load(path).graph),
            )
        return self._sessions[model]

    @model_optimizer()
    def select_tasks(self, model: ModelGraph) -> bool:
        """Keep only the outputs that were asked for. Raises UserError for an unknown task or alternative."""
        wanted = self._tasks(model)
        known = list(model.outputs or ())
        for name in wanted:
            task, alternative = split_pathway_name(name)
            if task not in known:
                raise UserError(f"task {task}: the ONNX has the outputs {', '.join(known)}; name one of them")
            others = self.session(model).bundle.tasks[task].alternatives
            if alternative is not None and alternative not in others:
                raise UserError(
                    f"task {name}: the bundle has the pathways {', '.join(others) or 'none'} beside the default; name one of them"
                )
        model.config.config["Task"] = wanted
        model.outputs = [split_pathway_name(name)[0] for name in wanted]
        return True

    @model_optimizer()
    def write_build(self, model: ModelGraph) -> bool:
        """Write the build of the model. The layers of the graph stay as they are."""
        self.writer.write_hls(model)
        return True

    def compile(self, model: ModelGraph) -> str:
        """Compile the C simulation of the build that was written, and return the path of the library."""
        session, sources = self.session(model), build_directory(model) / "cpp"
        library = compile_emulator(sources)
        session.emulator = Emulator(sources, session.configuration)
        return str(library)

    def predict(self, model: ModelGraph, x: np.ndarray) -> np.ndarray | list[np.ndarray]:
        """The outputs for images x on the C simulation, bit-exact with the accelerator; a list if there are several.

        x: (N, 3, height, width), float or uint8, or one image without N.

        The outputs are (N, channels, height, width), float64 if x is float64, else float32; without N if x has none. For the units
        see moesaic.hls.vendor.hls4ml_backend.image_batches. Raises UserError if the model is not compiled or x is not such an
        array.
        """
        outputs = self.session(model).predict(x, self._tasks(model))
        return outputs[0] if len(outputs) == 1 else outputs

    def build(
        self,
        model: ModelGraph,
        csim: bool = True,
        synth: bool = True,
        cosim: bool = False,
        export: bool = False,
        seed: int = 0,
    ) -> dict:
        """Run Vitis HLS on the model's project, `<output_dir>/vitis`, as hls4ml's Vitis backend does, and return its report.

        csim, synth, cosim, export: whether each step runs.
        seed: of the picture that C simulation and co-simulation check.

        Raises UserError if Vitis HLS is missing or a step fails.
        """
        chosen = {"csim": csim, "csynth": synth, "cosim": cosim, "export": export}
        return run_vitis(
            self.session(model).build,
            self._tasks(model),
            Path(model.config.get_output_dir()).resolve() / _VITIS_FOLDER,
            model.config.get_config_value("ClockPeriod"),
            [step for step, wanted in chosen.items() if wanted],
            seed,
        )

    @staticmethod
    def _tasks(model: ModelGraph) -> list[str]:
        return model.config.get_config_value("Task") or list(model.outputs or ())

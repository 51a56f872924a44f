"""The netlist of one module as a source that takes the module's place in its own test bench."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from moesaic.files import write_file
from moesaic.sim.machines.rtl_directories import RTL_DIRECTORIES
from moesaic.sim.machines.source_closure import source_closure
from moesaic.sim.measurements.netlist_run.cells import cell_models
from moesaic.sim.measurements.netlist_run.netlists import synthesised


def write_module_netlist(top: str, parameters: Mapping[str, int | str], directory: Path) -> None:
    """Synthesise `top` with these parameters and write it with its cells as `<directory>/<top>.sv`, which has no parameters.

    Raises:
        UserError: Yosys or a source file is missing, or the file cannot be written.
        InternalError: Yosys fails, or there is no model of a cell.
    """
    netlist = synthesised(top, source_closure(top, RTL_DIRECTORIES), parameters)
    write_file(directory / f"{top}.sv", (netlist + cell_models(netlist)).encode())

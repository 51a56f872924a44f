"""The Verilog wrapper of the accelerator, which Vivado packages as an IP.

The IP packager accepts neither SystemVerilog nor packed arrays at the top level, and infers interfaces from names:
`<interface>_<signal>` for AXI, aclk, aresetn and irq. So the wrapper is plain Verilog, has one interface for each read port of the
load unit, and sets the parameters of the configuration.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from moesaic.errors import InternalError
from moesaic.hls.hardware.accelerator_sources import RTL_DIRECTORY, rtl_parameters
from moesaic.spec.configuration import HardwareConfiguration

MODULE = "moesaic_accelerator_ip"
CLOCK, RESET, INTERRUPT = "aclk", "aresetn", "irq"
ENGINES = {"rtl": "moesaic_accelerator_pins", "hls": "moesaic_kernel_control"}
"""Engine to the RTL module that contains its control port."""

_RENAMED = {"clk_i": CLOCK, "rst_ni": RESET, "irq_o": INTERRUPT}
_PORT = re.compile(r"^\s*(input|output)\s+logic\s*((?:\[[^\]]*\]\s*)*)(\w+)\s*(?://.*|,.*)?$")
_ARRAY = "[LoadPorts-1:0]"


@dataclass(frozen=True)
class Port:
    """A port of an RTL module. width: bits of one element; array: whether it has one element per load port."""

    direction: str
    name: str
    width: int
    array: bool


def read_ports(module: str) -> list[Port]:
    """The ports of `hls/hardware/rtl/<module>.sv`, in order. Raises InternalError for a port that the wrapper cannot take."""
    text = (RTL_DIRECTORY / f"{module}.sv").read_text(encoding="utf-8")
    header = text[text.index(f"module {module}") : text.index(");\n", text.index(") (\n"))]
    ports = []
    for line in header[header.index(") (\n") + 4 :].splitlines():
        found = _PORT.match(line)
        if not found:
            if line.strip() and not line.strip().startswith("//"):
                raise InternalError(f"{module}.sv: {line.strip()!r} is no port that the wrapper can take")
            continue
        direction, dimensions, name = found[1], found[2].replace(" ", ""), found[3]
        array, bits = dimensions.startswith(_ARRAY), dimensions.removeprefix(_ARRAY)
        width = re.fullmatch(r"(?:\[(\d+):0\])?", bits)
        if width is None:
            raise InternalError(
                f"{module}.sv: port {name} has the dimensions {dimensions}, which the wrapper cannot take"
            )
        ports.append(Port(direction, name, int(width[1] or 0) + 1, array))
    return ports


def _element(name: str, index: int) -> str:
    """The name of one element of an array port: m_axi_load_araddr of load port 2 is m_axi_load2_araddr."""
    interface, signal = name.rsplit("_", 1)
    return f"{interface}{index}_{signal}"


def _signals(port: Port, load_ports: int) -> list[str]:
    """The names of a port on the wrapper: one, or one per load port if it is an array."""
    if port.array:
        return [_element(port.name, index) for index in range(load_ports)]
    return [_RENAMED.get(port.name, port.name)]


def wrapper_signals(engine: str, load_ports: int) -> dict[str, tuple[str, int]]:
    """Every port of the wrapper: name to (direction, width in bits). engine: a key of ENGINES."""
    ports = read_ports(ENGINES[engine])
    return {name: (port.direction, port.width) for port in ports for name in _signals(port, load_ports)}


def interfaces(engine: str, load_ports: int) -> tuple[str, ...]:
    """Names of the wrapper's AXI interfaces: the slave first, then the masters. engine: a key of ENGINES."""
    names = dict.fromkeys(
        re.sub(r"_[a-z]+$", "", name) for name in wrapper_signals(engine, load_ports) if "_axi_" in name
    )
    return tuple(names)


def wrapper(configuration: HardwareConfiguration, engine: str) -> str:
    """Text of moesaic_accelerator_ip.v: the engine's RTL, instantiated with the parameters of a configuration."""
    module = ENGINES[engine]
    ports = read_ports(module)
    signals = wrapper_signals(engine, configuration.load_ports)
    lines = [f"// Generated for the configuration {configuration.name}, engine {engine}; do not edit."]
    lines += [f"module {MODULE} (", ",\n".join(_declaration(name, *signals[name]) for name in signals), ");", ""]
    lines += [f"  {module} #(", ",\n".join(f"      .{n}({v})" for n, v in _parameters(configuration, engine).items())]
    lines += ["  ) u_accelerator ("]
    lines.append(",\n".join(f"      .{port.name}({_connection(port, configuration.load_ports)})" for port in ports))
    return "\n".join([*lines, "  );", "", "endmodule", ""])


def _parameters(configuration: HardwareConfiguration, engine: str) -> Mapping[str, str]:
    parameters = rtl_parameters(configuration)
    return parameters if engine == "rtl" else {"Fingerprint": parameters["Fingerprint"]}


def _declaration(name: str, direction: str, width: int) -> str:
    bits = f"[{width - 1}:0]" if width > 1 else ""
    return f"    {direction:<6} wire {bits:<8} {name}"


def _connection(port: Port, load_ports: int) -> str:
    names = _signals(port, load_ports)
    return "{" + ", ".join(reversed(names)) + "}" if port.array else names[0]

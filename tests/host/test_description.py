"""The description that the tests read says what our block design says, as far as it can be known without Vivado."""

from pathlib import Path
from xml.etree import ElementTree

from moesaic.hls.vendor.vivado.workspace import workspace_files
from moesaic.hls.vendor.vivado.wrapper import INTERRUPT, interfaces
from moesaic.host.hwh import IP_NAME
from moesaic.spec.board import load_board
from moesaic.spec.configuration import load_configuration
from moesaic.spec.registers import REGISTER_FILE_BYTES
from tests.hls.vendor_tcl import VivadoTcl
from tests.host.description import description
from tests.host.interrupt_controller import is_edge_triggered
from tests.host.mock_pynq import REGISTERS_ADDRESS, interrupt_pins

ROOT = ElementTree.fromstring(description())
PORTS = load_board("zcu104").ports
MODULES = {module.get("INSTANCE"): module for module in ROOT.iter("MODULE")}


def built(directory: Path) -> VivadoTcl:
    """The block design that the scripts make in the stubs of Vivado's commands."""
    for name, content in workspace_files(load_configuration("tiny"), load_board("zcu104"), "rtl", 300.0, 2).items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_bytes(content)
    vivado = VivadoTcl(directory)
    vivado.source(directory / "vivado.tcl")
    assert vivado.exit_code == 0, vivado.printed
    return vivado


def test_blocks_pins_addresses_and_registers_are_those_of_the_scripts(tmp_path):
    vivado = built(tmp_path)
    types = {call.words[0]: call.options["-vlnv"] for call in vivado.named("create_bd_cell")}
    for name, module in MODULES.items():
        # A script may leave the version of Xilinx's blocks to Vivado.
        assert module.get("VLNV").split(":")[: len(types[name].split(":"))] == types[name].split(":")
        assert module.get("MODTYPE") == types[name].split(":")[2]
    assert MODULES[IP_NAME].get("VLNV") == types[IP_NAME]

    nets = {
        f"{name}/{port.get('NAME')}": port.get("SIGNAME") for name in MODULES for port in MODULES[name].iter("PORT")
    }
    assert set(nets) == {f"accelerator/{INTERRUPT}", "interrupts/intr", "interrupts/irq", "ps/pl_ps_irq0"}
    for sink in ("interrupts/intr", "ps/pl_ps_irq0"):
        assert nets[sink] == nets[vivado.net[sink]] == vivado.net[sink].replace("/", "_")

    settings = {entry.get("NAME"): entry.get("VALUE") for entry in MODULES["interrupts"].iter("PARAMETER")}
    assert settings == {name: vivado.cells["interrupts"].settings[f"CONFIG.{name}"] for name in settings}

    ranges = {
        entry.get("INSTANCE"): (int(entry.get("BASEVALUE"), 16), int(entry.get("HIGHVALUE"), 16))
        for entry in ROOT.iter("MEMRANGE")
    }
    assert ranges == {
        "accelerator": (PORTS.control_address, PORTS.control_address + REGISTER_FILE_BYTES - 1),
        "interrupts": (PORTS.interrupt_controller_address, PORTS.interrupt_controller_address + 0xFFFF),
    }
    assert PORTS.control_address == REGISTERS_ADDRESS
    (slave,) = [name for name in interfaces("rtl", 1) if name.startswith("s_")]
    assert [block.get("INTERFACE") for block in ROOT.iter("ADDRESSBLOCK")] == [slave]

    registers = {
        register.get("NAME"): {entry.get("NAME").lower(): entry.get("VALUE") for entry in register}
        for register in MODULES[IP_NAME].iter("REGISTER")
    }
    assert registers == vivado.registers


def test_the_interrupt_controller_latches_edges(tmp_path):
    """PYNQ's documentation asks for it; set by hand, so that Vivado does not take the sensitivity of what is connected."""
    vivado = built(tmp_path)
    assert vivado.cells["interrupts"].settings["CONFIG.C_KIND_OF_INTR.VALUE_SRC"] == "USER"
    assert is_edge_triggered(ROOT)


def test_pynq_finds_the_interrupt_behind_the_controller():
    assert interrupt_pins(ROOT) == {
        pin: {"controller": "interrupts", "index": 0} for pin in (f"accelerator/{INTERRUPT}", "interrupts/intr")
    }

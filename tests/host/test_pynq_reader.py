"""PYNQ's own reader of hardware descriptions on the one that the tests use: what the mock tells the driver is what PYNQ would."""

from xml.etree import ElementTree

import pytest

from moesaic.host.hwh import accelerator_of
from moesaic.spec.registers import REGISTER_FILE_BYTES, REGISTERS
from tests.host.description import description
from tests.host.mock_pynq import REGISTERS_ADDRESS, interrupt_pins

pynqmetadata = pytest.importorskip("pynqmetadata", reason="PYNQ's reader, which `make test-host-numpy1` fetches")


def test_pynq_finds_address_registers_and_interrupt(tmp_path):
    from pynqmetadata.frontends import Metadata
    from pynqmetadata.views.runtime.runtime_metadata_parser import RuntimeMetadataParser

    path = tmp_path / "accel.hwh"
    path.write_text(description())
    found = RuntimeMetadataParser(Metadata(input=str(path)))
    entry = found.ip_dict[accelerator_of(path)]
    assert (entry["phys_addr"], entry["addr_range"]) == (REGISTERS_ADDRESS, REGISTER_FILE_BYTES)
    offsets = {name: register["address_offset"] for name, register in entry["registers"].items()}
    assert offsets == {register.name: register.offset for register in REGISTERS}
    pins = {pin: {name: value[name] for name in ("controller", "index")} for pin, value in found.interrupt_pins.items()}
    assert pins == interrupt_pins(ElementTree.parse(path).getroot())

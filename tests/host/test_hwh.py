"""What is read from a .hwh before its bitstream is loaded. The file is our own: see its first lines."""

import json
from pathlib import Path

import pytest

import moesaic
from moesaic.errors import UserError
from moesaic.host.bitstream import find_bitstream
from moesaic.host.hwh import accelerator_of
from moesaic.spec.configuration import load_configuration
from tests.host.description import description

MINIMAL = description()
RANGE = 'HIGHVALUE="0xA0000FFF"'
BLOCK = "moesaic:moesaic:accelerator:1.0"


@pytest.fixture
def hwh(tmp_path):
    def write(text: str) -> Path:
        path = tmp_path / "accel.hwh"
        path.write_text(text)
        return path

    return write


def test_the_accelerator_is_found_by_its_type(hwh):
    assert accelerator_of(hwh(MINIMAL)) == "accelerator"
    nested = MINIMAL.replace('FULLNAME="/accelerator"', 'FULLNAME="/system/engine"')
    assert accelerator_of(hwh(nested)) == "system/engine"


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        (BLOCK, "xilinx.com:ip:axi_dma:7.1", ["0 blocks of type accelerator", "accelerator, interrupts, ps"]),
        ("xilinx.com:ip:axi_intc:4.1", BLOCK, ["2 blocks of type accelerator"]),
        (RANGE, 'HIGHVALUE="0xA00000FF"', ["256 bytes", "4096"]),
        ('INSTANCE="accelerator" IS_DATA', 'INSTANCE="other" IS_DATA', ["0 bytes", "4096"]),
        ('VALUE="0x020"', 'VALUE="0x010"', ["FINGERPRINT_LOW at 0x010", "0x020"]),
        ("</EDKSYSTEM>", "", ["no hardware description"]),
    ],
    ids=["another design", "two", "short range", "no address", "register moved", "truncated"],
)
def test_what_does_not_fit_is_named(hwh, board_build, board, old, new, parts):
    assert old in MINIMAL
    text = MINIMAL.replace(old, new)
    with pytest.raises(UserError) as caught:
        accelerator_of(hwh(text))
    (board_build / "accel.hwh").write_text(text)
    with pytest.raises(UserError) as opened:
        moesaic.open(board_build, "board")
    for part in parts:
        assert part in str(caught.value) and part in str(opened.value)
    assert board.downloads == 0, "refused before anything is loaded"


def test_a_record_of_another_configuration_is_refused(board_build, build, tmp_path, monkeypatch):
    """A bitstream that lies in the wrong folder."""
    directory = tmp_path / "bitstreams" / f"tiny-{build.fingerprint}"
    directory.mkdir(parents=True)
    for name in ("accel.bit", "accel.hwh"):
        (board_build / name).rename(directory / name)
    monkeypatch.chdir(tmp_path)
    assert find_bitstream(board_build, build.configuration) == directory / "accel.bit"
    other = load_configuration("zcu104").fingerprint
    (directory / "build.json").write_text(json.dumps({"fingerprint": build.fingerprint}))
    assert find_bitstream(board_build, build.configuration) == directory / "accel.bit"
    (directory / "build.json").write_text(json.dumps({"fingerprint": other}))
    with pytest.raises(UserError, match=f"{other}.*{build.fingerprint}.*moesaic bitstream --config tiny"):
        find_bitstream(board_build, build.configuration)


def test_a_block_that_pynq_does_not_know(board_build, board, monkeypatch):
    import pynq

    class Forgetful(pynq.Overlay):
        def __init__(self, name: str) -> None:
            super().__init__(name)
            del self.ip_dict["accelerator"]

    monkeypatch.setattr(pynq, "Overlay", Forgetful)
    with pytest.raises(UserError, match=r"no address; it has interrupts, ps"):
        moesaic.open(board_build, "board")


@pytest.mark.parametrize("name", ["accel.bit", "accel.hwh"])
def test_a_pointer_of_git_lfs_is_no_bitstream(board_build, build, name):
    (board_build / name).write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 9\n")
    with pytest.raises(UserError, match=f"{name} is a pointer of Git LFS.*git lfs pull"):
        find_bitstream(board_build, build.configuration)

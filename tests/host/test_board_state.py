"""What `moesaic doctor` says on a board: files of the kernel below a root of this test, PYNQ's answers from the mock."""

import json
import os
import subprocess
import sys
import types
from pathlib import Path

import pytest

from moesaic.errors import UserError
from moesaic.host import board_state as module
from moesaic.host.board_state import Finding, board_state, is_board
from moesaic.host.interrupt_counts import interrupts_so_far
from moesaic.host.lock import DeviceLock, lock_holder
from moesaic.host.pynq_interface import import_pynq

INTERRUPTS = """\
           CPU0       CPU1
 11:       2207       1842     GICv2  30 Level     arch_timer
 46:         12          3     GICv2 121 Level     fabric
IPI0:       103        987       Rescheduling interrupts
"""


@pytest.fixture
def root(tmp_path) -> Path:
    """The kernel's files of a PYNQ image that lacks nothing."""
    root = tmp_path / "root"
    content = {
        "sys/class/fpga_manager/fpga0/state": "operating\n",
        "sys/class/uio/uio0/name": "axi-pmon\n",
        "sys/class/uio/uio4/name": "fabric\n",
        "sys/module/zocl/version": "2.13.0\n",
        "usr/version.json": '{"BUILD_VERSION": "2.13.479"}',
        "proc/interrupts": INTERRUPTS,
        "proc/locks": "",
    }
    for name, text in content.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.fixture
def sound(root, board, board_build, monkeypatch) -> types.ModuleType:
    """A board with a bitstream loaded, and the PYNQ that has loaded it."""
    pynq = import_pynq()
    overlay = pynq.Overlay(str(board_build / "accel.bit"))
    pynq.PL = types.SimpleNamespace(bitfile_name=str(board_build / "accel.bit"), ip_dict=overlay.ip_dict)
    monkeypatch.delenv("XILINX_XRT", raising=False)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setitem(
        sys.modules, "cv2", types.SimpleNamespace(__version__="4.8.0", __spec__=types.SimpleNamespace())
    )
    return pynq


def finding(root: Path, name: str) -> Finding:
    (found,) = (finding for finding in board_state(root) if finding.name == name)
    return found


def test_nothing_is_missing(root, sound, board_build, build):
    findings = board_state(root)
    assert [f.name for f in findings] == ["root", "device", "XRT", "bitstream", "lock", "interrupt", "g++", "OpenCV"]
    assert {f.state for f in findings} == {"ok"} and not any(f.remedy for f in findings)
    told = {f.name: f.found for f in findings}
    assert told["bitstream"] == f"{board_build / 'accel.bit'}, fingerprint {build.fingerprint}"
    assert told["interrupt"] == "/dev/uio4, 15 so far" and told["XRT"] == "2.13.479" and told["OpenCV"] == "4.8.0"
    assert told["lock"] == "free" and told["device"] == "xczu7ev"


def test_root(root, sound, monkeypatch, tmp_path):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert finding(root, "root").remedy == f"PYNQ needs root rights: sudo {sys.executable} -m moesaic doctor"
    copy = tmp_path / "moesaic" / "lib" / "moesaic" / "host" / "board_state.py"
    copy.parent.mkdir(parents=True)
    (tmp_path / "moesaic" / "moesaic").write_text("")
    monkeypatch.setattr(module, "__file__", str(copy))
    assert finding(root, "root").remedy.endswith(f"sudo {tmp_path}/moesaic/moesaic doctor")


def test_device(root, sound, monkeypatch):
    sound.Device = types.SimpleNamespace(devices=[])
    assert finding(root, "device").state == "missing"

    class Broken:
        @property
        def devices(self):
            raise RuntimeError("Root permissions required")

    sound.Device = Broken()
    found = finding(root, "device")
    assert found.state == "wrong" and "Root permissions required" in found.found and "sudo" in found.remedy
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    found = finding(root, "device")
    assert found.state == "missing" and "pynq_venv.sh" in found.remedy and "pip install" not in found.remedy


def test_xrt(root, sound, monkeypatch, tmp_path):
    (root / "sys/module/zocl/version").unlink()
    (root / "sys/module/zocl").rmdir()
    found = finding(root, "XRT")
    assert found.state == "wrong" and "zocl is not loaded" in found.found and "modprobe" in found.remedy
    (root / "dev/dri/renderD128").mkdir(parents=True)
    (root / "usr/version.json").unlink()
    (tmp_path / "xbutil").write_text("#!/bin/sh\necho 'Version              : 2.14.354'\n")
    (tmp_path / "xbutil").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert finding(root, "XRT") == Finding("XRT", "ok", "2.14.354")
    monkeypatch.setenv("PATH", "")
    assert finding(root, "XRT").state == "missing"


def test_bitstream(root, sound, board, board_build, build):
    (board_build / "build.json").write_text(json.dumps({"fingerprint": "0123456789abcdef"}))
    found = finding(root, "bitstream")
    assert found.state == "wrong" and build.fingerprint in found.found and "0123456789abcdef" in found.found
    (board_build / "accel.hwh").write_text("<EDKSYSTEM><MODULES/></EDKSYSTEM>")
    assert "no accelerator" in finding(root, "bitstream").found
    reads = []
    sound.MMIO = lambda *words: reads.append(words)
    for nothing in (None, ""):
        sound.PL.bitfile_name = nothing
        assert finding(root, "bitstream") == Finding("bitstream", "idle", "none is loaded")
    sound.PL.bitfile_name = str(board_build / "accel.bit")
    (root / "sys/class/fpga_manager/fpga0/state").write_text("power off\n")
    assert finding(root, "bitstream").state == "idle" and not reads, (
        "a read that nothing answers would stop the processor"
    )


def test_a_bitstream_that_only_root_may_read(root, sound):
    def refuse(*words: object) -> None:
        raise OSError("Root permissions required.")

    sound.MMIO = refuse
    found = finding(root, "bitstream")
    assert found.state == "wrong" and "Root permissions required" in found.found and "sudo" in found.remedy


def test_lock(root, sound, lock_file):
    """Its holder is named; looking takes nothing from anyone."""
    script = f"from pathlib import Path; from moesaic.host.lock import DeviceLock; lock = DeviceLock(Path({str(lock_file)!r}))"
    other = subprocess.Popen(
        [sys.executable, "-c", script + "; print('held', flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert other.stdout.readline() == b"held\n"
        assert lock_holder(lock_file) == other.pid
        (root / "proc/locks").write_text(Path("/proc/locks").read_text())
        (root / "proc" / str(other.pid)).mkdir()
        (root / "proc" / str(other.pid) / "cmdline").write_bytes(b"moesaic\0watch\0" + b"build\0")
        found = finding(root, "lock")
        assert found.found == f"held by process {other.pid}: moesaic watch build"
        assert found.remedy.endswith(f"sudo kill {other.pid}")
        with pytest.raises(UserError):
            DeviceLock(lock_file)
    finally:
        other.communicate(b"\n")
    assert lock_holder(lock_file) is None
    DeviceLock(lock_file).release()


def test_the_lock_on_file_systems_that_show_another_device(lock_file, tmp_path):
    lock_file.write_text("77\n")
    inode = lock_file.stat().st_ino
    table = tmp_path / "locks"
    for line, holder in (
        (f"1: FLOCK  ADVISORY  WRITE 77 ff:ff:{inode} 0 EOF\n", 77),
        (f"1: FLOCK  ADVISORY  WRITE 78 ff:ff:{inode} 0 EOF\n", None),
        (f"1: POSIX  ADVISORY  WRITE 77 ff:ff:{inode} 0 EOF\n", None),
        (f"1: -> FLOCK  ADVISORY  WRITE 77 ff:ff:{inode} 0 EOF\n", None),
        ("", None),
    ):
        table.write_text(line)
        assert lock_holder(lock_file, table) == holder, line
    assert lock_holder(tmp_path / "none") is None


def test_interrupt(root, sound):
    (root / "sys/class/uio/uio4/name").write_text("other\n")
    found = finding(root, "interrupt")
    assert found.state == "missing" and "other is uio4" in found.found and "polls" in found.remedy
    assert interrupts_so_far(root) == 15
    (root / "proc/interrupts").unlink()
    assert interrupts_so_far(root) is None


def test_compiler(root, sound, monkeypatch):
    monkeypatch.setattr(module.shutil, "which", lambda name: None)
    found = finding(root, "g++")
    assert found.state == "missing" and found.remedy.endswith("sudo apt-get install g++") and "resize" in found.remedy
    monkeypatch.setattr(module.shutil, "which", lambda name: f"/usr/bin/{name}")
    assert finding(root, "g++") == module.Finding("g++", "ok", "/usr/bin/g++")


def test_opencv(root, sound, monkeypatch):
    monkeypatch.setattr(module, "find_spec", lambda name: None if name == "cv2" else object())
    found = finding(root, "OpenCV")
    assert found.state == "missing" and found.remedy.endswith(
        f"sudo {sys.executable} -m pip install opencv-python-headless"
    )
    monkeypatch.undo()


def test_what_is_a_board(root, tmp_path, no_pynq, monkeypatch):
    monkeypatch.setattr("moesaic.host.pynq_interface.find_spec", lambda name: None)
    assert is_board(root) and not is_board(tmp_path / "elsewhere")


def test_doctor_on_a_board(run_moesaic, root, sound, monkeypatch):
    monkeypatch.setattr(module, "is_board", lambda: True)
    monkeypatch.setattr(module, "board_state", lambda: board_state(root))
    code, out, err = run_moesaic("doctor")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].split() == ["root", "ok", "yes"] and lines[8] == "" and lines[9].startswith("python ")
    code, out, _ = run_moesaic("doctor", "--json")
    told = json.loads(out)
    assert code == 0 and (told["format"], told["version"]) == ("moesaic doctor", 1)
    assert [f["name"] for f in told["board"]][-1] == "OpenCV" and told["tools"][0]["name"] == "python"


def test_doctor_without_a_board(run_moesaic, no_pynq, monkeypatch):
    monkeypatch.setattr(module, "is_board", lambda: False)
    code, out, _ = run_moesaic("doctor")
    assert code == 0 and out.startswith("python ")
    assert json.loads(run_moesaic("doctor", "--json")[1])["board"] is None

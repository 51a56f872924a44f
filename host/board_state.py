"""What a board has and lacks of what the runtime needs, found without disturbing anything: no bitstream is loaded, no lock taken."""

from __future__ import annotations

import importlib
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from moesaic.errors import UserError
from moesaic.host.bitstream import RECORD
from moesaic.host.hwh import accelerator_of
from moesaic.host.interrupt_counts import UIO_NAME, interrupts_so_far
from moesaic.host.lock import lock_holder
from moesaic.host.pynq_interface import board_missing, import_pynq
from moesaic.spec.registers import BY_NAME, REGISTER_FILE_BYTES

_PROBE_ERRORS = (UserError, OSError, RuntimeError, AttributeError, KeyError, ValueError)
"""What PYNQ raises where something that it looks for is missing."""


@dataclass(frozen=True)
class Finding:
    """Something about the board. state: "ok", "missing", "wrong", or "idle" for what is not there yet and need not be.

    remedy: what to do about it, empty if nothing has to be done.
    """

    name: str
    state: str
    found: str
    remedy: str = ""


def is_board(root: Path = Path("/")) -> bool:
    """Whether this machine is a board: the kernel programs an FPGA, or PYNQ finds a device. root: of the file system."""
    return any((root / "sys/class/fpga_manager").glob("*")) or not board_missing()


def own_command(*words: str) -> str:
    """How the user starts moesaic here: by the program that `moesaic deploy` put beside this package, or by this Python."""
    launcher = Path(__file__).resolve().parents[3] / "moesaic"
    start = [str(launcher)] if launcher.is_file() else [sys.executable, "-m", "moesaic"]
    return " ".join([*start, *words])


def board_state(root: Path = Path("/")) -> list[Finding]:
    """Findings about root rights, device, XRT, bitstream, lock, interrupt, g++ and OpenCV. root: of the file system."""
    return [_rights(), _device(), _xrt(root), _bitstream(root), _lock(root), _interrupt(root), _compiler(), _opencv()]


def _rights() -> Finding:
    if os.geteuid() == 0:
        return Finding("root", "ok", "yes")
    return Finding(
        "root", "missing", f"no, user {os.geteuid()}", f"PYNQ needs root rights: sudo {own_command('doctor')}"
    )


def _device() -> Finding:
    if find_spec("pynq") is None:
        return Finding(
            "device",
            "missing",
            "this Python has no pynq",
            "PYNQ's images have it in an environment that /etc/profile.d/pynq_venv.sh enters, as the program that "
            "`moesaic deploy` puts on the board does; on another image install PYNQ 3.0 or later",
        )
    try:
        devices = [str(getattr(device, "name", device)) for device in import_pynq().Device.devices]
    except _PROBE_ERRORS as error:
        return Finding(
            "device", "wrong", f"PYNQ does not start: {error}", f"start it as root: sudo {own_command('doctor')}"
        )
    if not devices:
        return Finding(
            "device",
            "missing",
            "PYNQ finds none",
            "it looks for one as root and with XRT: see the lines on root and XRT",
        )
    return Finding("device", "ok", ", ".join(devices))


def _xrt(root: Path) -> Finding:
    version = _xrt_version(root)
    driver = (root / "sys/module/zocl").exists() or any((root / "dev/dri").glob("renderD*"))
    if version is None:
        return Finding(
            "XRT",
            "missing",
            "not found",
            "PYNQ allocates memory through it: . /etc/profile.d/xrt_setup.sh, or use a PYNQ image",
        )
    if not driver:
        return Finding(
            "XRT", "wrong", f"{version}, its driver zocl is not loaded", "sudo modprobe zocl, or start the board anew"
        )
    return Finding("XRT", "ok", version)


def _xrt_version(root: Path) -> str | None:
    """From the file that XRT installs, or from its program xbutil."""
    places = [Path(os.environ["XILINX_XRT"])] if "XILINX_XRT" in os.environ else []
    for place in (*places, root / "opt/xilinx/xrt", root / "usr"):
        try:
            return str(json.loads((place / "version.json").read_text())["BUILD_VERSION"])
        except (OSError, ValueError, KeyError, TypeError):
            continue
    program = shutil.which("xbutil")
    if program is None:
        return None
    try:
        output = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=10, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r"\d+(\.\d+)+", output)
    return found.group() if found else None


def _bitstream(root: Path) -> Finding:
    """What PYNQ says is loaded, and the fingerprint that the accelerator in it shows.

    Registers are read only where PYNQ says that an accelerator is: a read that nothing answers would stop the processor.
    """
    try:
        state = next((root / "sys/class/fpga_manager").glob("*/state")).read_text().strip()
    except (StopIteration, OSError):
        state = "operating"
    try:
        pynq: Any = import_pynq()
        path = pynq.PL.bitfile_name
    except _PROBE_ERRORS:
        path = None
    if not path or state != "operating":
        return Finding("bitstream", "idle", "none is loaded", "")
    bitstream = Path(path)
    try:
        name = accelerator_of(bitstream.with_suffix(".hwh"))
        registers = pynq.MMIO(int(pynq.PL.ip_dict[name]["phys_addr"]), REGISTER_FILE_BYTES)
        low, high = (int(registers.read(BY_NAME[f"FINGERPRINT_{part}"].offset)) for part in ("LOW", "HIGH"))
    except UserError:
        return Finding(
            "bitstream", "idle", f"{bitstream}, which has no accelerator of moesaic", "opening a build loads its own"
        )
    except _PROBE_ERRORS as error:
        return Finding(
            "bitstream", "wrong", f"{bitstream} cannot be read ({error})", f"as root: sudo {own_command('doctor')}"
        )
    fingerprint = f"{high << 32 | low:016x}"
    recorded = _recorded(bitstream)
    if recorded not in (None, fingerprint):
        return Finding(
            "bitstream", "wrong", f"{bitstream} shows fingerprint {fingerprint}, its record says {recorded}",
            "another bitstream was loaded without PYNQ, or the record is of another; start the board anew, then deploy again",
        )  # fmt: skip
    return Finding("bitstream", "ok", f"{bitstream}, fingerprint {fingerprint}")


def _recorded(bitstream: Path) -> str | None:
    try:
        return str(json.loads(bitstream.with_name(RECORD).read_text())["fingerprint"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _lock(root: Path) -> Finding:
    holder = lock_holder(locks=root / "proc/locks")
    if holder is None:
        return Finding("lock", "ok", "free")
    try:
        words = (
            (root / "proc" / str(holder) / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        )
    except OSError:
        words = "of another user"
    return Finding("lock", "wrong", f"held by process {holder}: {words}", f"wait for it, or end it: sudo kill {holder}")


def _interrupt(root: Path) -> Finding:
    names = []
    for entry in sorted((root / "sys/class/uio").glob("uio*/name")):
        try:
            names.append((entry.parent.name, entry.read_text().strip()))
        except OSError:
            continue
    for device, name in names:
        if name == UIO_NAME:
            return Finding("interrupt", "ok", f"/dev/{device}, {interrupts_so_far(root) or 0} so far")
    others = ", ".join(f"{name} is {device}" for device, name in names) or "no UIO device at all"
    return Finding(
        "interrupt", "missing", f"no UIO device {UIO_NAME} ({others})",
        "the device tree of PYNQ's images has it; without it runs are right, but the processor polls for their end",
    )  # fmt: skip


def _compiler() -> Finding:
    path = shutil.which("g++")
    if path is None:
        return Finding(
            "g++", "missing", "not there",
            "only for the emulator, and to resize pictures in about half the time: sudo apt-get install g++",
        )  # fmt: skip
    return Finding("g++", "ok", path)


def _opencv() -> Finding:
    if find_spec("cv2") is None:
        return Finding(
            "OpenCV", "missing", "not there",
            f"only for cameras and video files: sudo {sys.executable} -m pip install opencv-python-headless",
        )  # fmt: skip
    try:
        cv2 = importlib.import_module("cv2")
    except ImportError as error:
        return Finding("OpenCV", "wrong", f"cannot be imported ({error})", "install the libraries it names, or: "
                       f"sudo {sys.executable} -m pip install opencv-python-headless")  # fmt: skip
    return Finding("OpenCV", "ok", str(cv2.__version__))

"""Keeps the board to one process at a time, with a lock file that the system releases no matter how its holder ends."""

from __future__ import annotations

import fcntl
import os
import tempfile
from pathlib import Path

from moesaic.errors import UserError


def default_lock_file() -> Path:
    """The file that every process on the board locks: in /run/lock, or among temporary files where that is missing."""
    shared = Path("/run/lock")
    return (shared if shared.is_dir() else Path(tempfile.gettempdir())) / "moesaic-board.lock"


def lock_holder(path: Path | None = None, locks: Path = Path("/proc/locks")) -> int | None:
    """Number of the process that holds a lock file; None if nobody does. The lock itself is left alone.

    path: default: default_lock_file(). locks: the kernel's table of locks.
    """
    path = path or default_lock_file()
    try:
        status, told = path.stat(), path.read_text(errors="replace").strip()
        table = locks.read_text()
    except OSError:
        return None
    device = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}"
    for line in table.splitlines():
        _, _, rest = line.partition(": ")
        kind, _, _, process, place, *_ = [*rest.split(), "", "", "", "", ""]
        if kind != "FLOCK" or place.rpartition(":")[2] != str(status.st_ino):
            continue
        # Some file systems show another device here than stat does; then the number in the file has to agree.
        if place.rpartition(":")[0] == device or process == told:
            return int(process)
    return None


class DeviceLock:
    """Held from construction to release(). path: of the lock file; default: default_lock_file().

    Raises UserError, with the holder's process number, if the lock is taken, and if the file cannot be opened.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or default_lock_file()
        self._file: int | None = self._open()
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.pread(self._file, 32, 0).decode("ascii", "replace").strip() or "unknown"
            self.release()
            raise UserError(
                f"the board is in use by process {holder}, this is process {os.getpid()}; end that one or wait for it "
                f"(lock file {self.path})"
            ) from None
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, f"{os.getpid()}\n".encode("ascii"), 0)

    def _open(self) -> int:
        flags = os.O_RDWR | os.O_CLOEXEC
        try:
            try:
                # First without O_CREAT: in a directory like /tmp the system refuses that flag for another user's file.
                return os.open(self.path, flags)
            except FileNotFoundError:
                descriptor = os.open(self.path, flags | os.O_CREAT, 0o666)
                os.fchmod(descriptor, 0o666)
                return descriptor
        except OSError as error:
            raise UserError(
                f"lock file {self.path} cannot be opened ({error.strerror}); run as the user who made it, or as root"
            ) from None

    def release(self) -> None:
        """Let another process have the board. Releasing twice is harmless."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

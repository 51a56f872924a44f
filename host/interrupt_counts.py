"""How many interrupts of the programmable logic have reached the processor, by the kernel's count."""

from __future__ import annotations

from pathlib import Path

UIO_NAME = "fabric"
"""Name of the UIO device that PYNQ's images give to the interrupt lines of the programmable logic."""


def interrupts_so_far(root: Path = Path("/")) -> int | None:
    """Interrupts since the board started, on all processors together; None if the kernel has no such line. root: of the file system."""
    try:
        lines = (root / "proc/interrupts").read_text().splitlines()
    except OSError:
        return None
    processors = len(lines[0].split()) if lines else 0
    ours = [line.split() for line in lines[1:] if line.split()[-1:] == [UIO_NAME]]
    return sum(int(number) for words in ours for number in words[1 : 1 + processors]) if ours else None

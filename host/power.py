"""Reads the power that the board's rails deliver."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, runtime_checkable

from moesaic.errors import UserError
from moesaic.host.pynq_interface import RailSource


@runtime_checkable
class PowerMeter(Protocol):
    """An executor that can measure the board's power."""

    def power(self) -> dict[str, float]:
        """Watts by rail name."""
        ...


SENSORS = Path("/sys/class/hwmon")
"""Where the kernel shows its sensors."""


def rail_power(pynq: object = None, sensors: Path = SENSORS) -> dict[str, float]:
    """Read all rails, name to watts: PYNQ's (PMBus) if it has any, otherwise those of the kernel's sensors.

    pynq: the package, or None without it. sensors: the folder of the kernel's sensors. UserError if neither shows a rail.
    """
    watts = _pynq_rails(pynq) or _kernel_rails(sensors)
    if not watts:
        raise UserError(
            f"the board shows no power rails: neither pynq.get_rails() nor {sensors} has one; use an image whose kernel "
            "drives the board's PMBus, or read the rails with the board's own system controller"
        )
    return watts


def _pynq_rails(pynq: object) -> dict[str, float]:
    """Watts of the rails that have a power sensor, or sensors for both voltage and current."""
    if not isinstance(pynq, RailSource):
        return {}
    try:
        rails = pynq.get_rails()
    except (ImportError, OSError, RuntimeError):  # libsensors or its configuration is missing
        return {}
    watts = {}
    for name, rail in rails.items():
        if rail.power is not None:
            watts[name] = float(rail.power.value)
        elif rail.voltage is not None and rail.current is not None:
            watts[name] = float(rail.voltage.value) * float(rail.current.value)
    return watts


def _kernel_rails(sensors: Path) -> dict[str, float]:
    """Watts from powerN_input (in microwatts) of every hwmon device; a rail is named <device>/<label>."""
    watts = {}
    for entry in sorted(sensors.glob("hwmon*/power*_input")):
        try:
            value = int(entry.read_text())
            device = (entry.parent / "name").read_text().strip()
        except (OSError, ValueError):
            continue
        channel = entry.name[: -len("_input")]
        label = entry.with_name(f"{channel}_label")
        watts[f"{device}/{label.read_text().strip() if label.is_file() else channel}"] = value * 1e-6
    return watts

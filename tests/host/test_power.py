"""Watts: from PYNQ's rails, from the kernel's sensors, and a word where there are none."""

from dataclasses import dataclass
from types import SimpleNamespace

import pytest

import moesaic
from moesaic.errors import UserError
from moesaic.host.power import rail_power


@dataclass
class Sensor:
    value: float


def rail(power=None, voltage=None, current=None):
    sensors = {"power": power, "voltage": voltage, "current": current}
    return SimpleNamespace(**{name: None if value is None else Sensor(value) for name, value in sensors.items()})


RAILS = {"12V": rail(power=9.5), "INT": rail(voltage=0.85, current=2.0), "3V3": rail(voltage=3.3)}


def pynq_with(rails):
    return SimpleNamespace(get_rails=lambda: rails)


def write_sensor(directory, device, **files):
    place = directory / device
    place.mkdir(parents=True)
    for name, text in files.items():
        (place / name).write_text(f"{text}\n")


def test_rails_of_pynq(tmp_path):
    assert rail_power(pynq_with(RAILS), tmp_path) == {"12V": 9.5, "INT": pytest.approx(1.7)}


def test_sensors_of_the_kernel(tmp_path):
    write_sensor(
        tmp_path, "hwmon0", name="irps5401", power1_input=1_250_000, power1_label="VCCINT", power2_input=500_000
    )
    write_sensor(tmp_path, "hwmon1", name="ina226", power1_input="?")
    expected = {"irps5401/VCCINT": pytest.approx(1.25), "irps5401/power2": pytest.approx(0.5)}
    assert rail_power(None, tmp_path) == expected
    assert rail_power(pynq_with({}), tmp_path) == expected


def test_library_of_sensors_is_missing(tmp_path):
    def fail():
        raise OSError("libsensors.so: cannot open shared object file")

    write_sensor(tmp_path, "hwmon0", name="ina226", power1_input=2_000_000)
    assert rail_power(SimpleNamespace(get_rails=fail), tmp_path) == {"ina226/power1": pytest.approx(2.0)}


def test_no_rails(tmp_path):
    with pytest.raises(UserError, match="no power rails"):
        rail_power(pynq_with({"3V3": rail(voltage=3.3)}), tmp_path)


def test_power_of_an_open_build(board_build, board):
    board.rails = RAILS
    with moesaic.open(board_build, "board") as accelerator:
        assert accelerator.power()["12V"] == 9.5
    with (
        moesaic.open(board_build, "emulator") as accelerator,
        pytest.raises(UserError, match="the emulator has no power"),
    ):
        accelerator.power()

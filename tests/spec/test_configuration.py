"""Hardware configurations: what is refused, and what the fingerprint covers."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from moesaic.errors import UserError
from moesaic.spec.configuration import HardwareConfiguration, load_configuration

TINY = load_configuration("tiny")


@pytest.mark.parametrize("name", ["kv260", "tiny", "zcu102", "zcu104", "zcu104-full"])
def test_known_configurations_round_trip(name):
    configuration = load_configuration(name)
    assert configuration.name == name
    assert HardwareConfiguration.from_dict(configuration.to_dict()) == configuration


@pytest.mark.parametrize(("name", "macs"), [("zcu104", 2560), ("zcu104-full", 3072)])
def test_zcu104_is_the_array_of_the_documents(name, macs):
    configuration = load_configuration(name)
    assert configuration.macs_per_cycle == macs
    assert configuration.weight_word_bytes == 256
    assert configuration.act_word_bytes == 64


def test_fingerprint_covers_every_size_and_no_name():
    assert len(TINY.fingerprint) == 16
    assert int(TINY.fingerprint, 16) >= 0
    assert replace(TINY, name="other", part="other").fingerprint == TINY.fingerprint
    changed = {
        "tile_rows": 6, "tile_columns": 16, "tile_depth": 8, "norm_lanes": 2, "act_ports": 1, "load_ports": 2, "act_bytes": 262144,
        "act_banks": 2, "act_ultra_bytes": 0, "shared_bytes": 0,
        "weight_bytes": 65536, "row_entries": 64, "queue_tokens": 64, "experts": 8, "instruction_queue": 16,
    }  # fmt: skip
    assert set(changed) == {field.name for field in fields(TINY)} - {"name", "part", "tables"}
    prints = [replace(TINY, **{name: value}).fingerprint for name, value in changed.items()]
    assert len({TINY.fingerprint, *prints}) == 1 + len(changed)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("tile_rows", 0), ("tile_rows", 65), ("tile_columns", 12), ("tile_columns", 4), ("tile_columns", 128),
        ("tile_depth", 2), ("tile_depth", 16), ("norm_lanes", 3), ("norm_lanes", 16), ("act_bytes", 100), ("act_bytes", 0),
        ("act_banks", 3), ("act_banks", 32), ("weight_bytes", 33), ("row_entries", 100), ("queue_tokens", 1 << 17),
        ("experts", 1), ("experts", 12), ("experts", 128), ("instruction_queue", 1), ("tables", 3), ("tile_rows", 4.0),
    ],
)  # fmt: skip
def test_a_wrong_size_is_named_with_its_rule(field, value):
    with pytest.raises(UserError, match=f"configuration tiny: {field} = {value} but it must be ") as caught:
        replace(TINY, **{field: value})
    assert "\n" not in str(caught.value)


def test_missing_and_unknown_fields_are_named():
    values = TINY.to_dict()
    del values["experts"]
    with pytest.raises(UserError, match=r"missing .*experts.*, unknown nothing"):
        HardwareConfiguration.from_dict(values)
    with pytest.raises(UserError, match=r"missing nothing, unknown .*colour"):
        HardwareConfiguration.from_dict({**TINY.to_dict(), "colour": 1})


def test_files(tmp_path):
    with pytest.raises(UserError, match="known: kv260, tiny, zcu102, zcu104, zcu104-full"):
        load_configuration("huge")
    path = tmp_path / "mine.toml"
    path.write_text("tile_rows = ")
    with pytest.raises(UserError, match=r"mine\.toml cannot be read"):
        load_configuration(path)
    sizes = {key: value for key, value in TINY.to_dict().items() if key not in ("name", "tables")}
    path.write_text("\n".join(f"{key} = {value!r}" for key, value in sizes.items()))
    assert load_configuration(path) == replace(TINY, name="mine")


@pytest.mark.parametrize(
    "change",
    [{"row_entries": 1}, {"queue_tokens": 1}, {"act_bytes": 64}, {"weight_bytes": 32}],
    ids=lambda change: next(iter(change)),
)
def test_memories_have_at_least_two_words(change):
    with pytest.raises(UserError, match=next(iter(change))):
        replace(TINY, **change)

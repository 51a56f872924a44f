"""docs/configuration.md against moesaic.spec.configuration: every field, what it must be, and the values of what is shipped."""

from dataclasses import fields, replace

import pytest

from moesaic.errors import UserError
from moesaic.hls.hardware.devices import DEVICES
from moesaic.spec.configuration import HardwareConfiguration, load_configuration, shipped_configurations
from tests.docs.markdown import REPOSITORY, blocks

PAGE = REPOSITORY / "docs" / "configuration.md"
TABLE = [
    [cell.strip() for cell in line.strip().strip("|").split(" | ")]
    for line in PAGE.read_text().partition("## Fields")[2].partition("\n\n## ")[0].splitlines()
    if line.startswith("| ")
]
HEADING, ROWS = TABLE[0], {row[0].strip("`"): dict(zip(TABLE[0], row)) for row in TABLE[1:]}
TINY = load_configuration("tiny")


def test_the_table_has_a_row_for_each_field():
    assert list(ROWS) == [field.name for field in fields(HardwareConfiguration) if field.name != "name"]


def test_the_table_has_a_column_for_each_shipped_configuration():
    assert {path.stem for path in shipped_configurations()} == {name.strip("`") for name in HEADING[3:-1]}


@pytest.mark.parametrize("path", shipped_configurations(), ids=lambda path: path.stem)
def test_values_are_those_of_the_shipped_configurations(path):
    for name, value in load_configuration(path).to_dict().items():
        if name != "name":
            assert ROWS[name][f"`{path.stem}`"] == (value if name == "part" else f"{value:,}")


def test_parts_are_the_known_devices():
    assert ROWS["part"]["must be"] == " or ".join(f"`{device}`" for device in DEVICES)


# The rule as the error has it where that is one text; where it depends on other fields, what it begins with.
BEGINNINGS = {"act_ports": "1 or 2 and divide", "act_bytes": "act_ultra_bytes", "act_ultra_bytes": "0 or a multiple of",
              "shared_bytes": "0 or a multiple of", "weight_bytes": "a multiple of"}  # fmt: skip


@pytest.mark.parametrize("name", [name for name in ROWS if name != "part"])
def test_rules_are_those_that_are_checked(name):
    with pytest.raises(UserError, match=f"{name} = -1 but it must be ") as caught:
        replace(TINY, **{name: -1})
    rule = str(caught.value).partition(" but it must be ")[2]
    beginning = BEGINNINGS.get(name, rule)
    assert rule.startswith(beginning)
    assert ROWS[name]["must be"].startswith(beginning)


def test_the_error_on_the_page_is_the_one_that_comes():
    (block,) = blocks(PAGE, "text")
    with pytest.raises(UserError) as caught:
        replace(load_configuration("zcu104"), name="mine", tile_depth=6)
    assert block.text == f"error: {caught.value}\n"

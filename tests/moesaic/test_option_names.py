"""Options have the same names on all commands."""

import argparse
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
import tomllib

from moesaic.argument_types import names
from moesaic.command_line import GROUP

PYPROJECT = Path(__file__).resolve().parents[2] / "pyproject.toml"
DECLARED = tomllib.loads(PYPROJECT.read_text())["project"]["entry-points"][GROUP]
OTHER_NAMES = {
    "--directory": "--output", "--input": "--image", "--picture": "--image", "--model": "--recipe",
    "--pathway": "--tasks TASK@PATHWAY", "--configuration": "--config", "--machine": "--executor",
}  # fmt: skip
"""Names that no command has, and the one that it has for what they would mean."""
ELSEWHERE = {("deploy", "--directory"), ("doctor", "--json"), ("explore", "--model")}
"""On another machine, where nothing is made by these rules; printed, as nothing is written; and a recipe with an input size."""


def actions(name: str) -> list[argparse.Action]:
    parser = argparse.ArgumentParser()
    EntryPoint(name, DECLARED[name], GROUP).load().configure(parser)
    return parser._actions[1:]


@pytest.mark.parametrize("name", DECLARED)
def test_one_name_for_one_thing(name):
    for action in actions(name):
        for option in action.option_strings:
            assert option not in OTHER_NAMES or (name, option) in ELSEWHERE, OTHER_NAMES.get(option)
            if option == "--task":
                assert action.nargs is None and not isinstance(action, argparse._AppendAction), "several are --tasks"
            if option in ("--output", "--json", "--csv", "--checkpoint") and (name, option) not in ELSEWHERE:
                assert action.type is Path
            if option in ("--tasks", "--executors"):
                assert action.type is names
            if option == "--output":
                assert "report" not in str(action.help), "figures beside what is printed are --json and --csv"
        assert action.help, f"{name} {action.dest} has no help"


def test_names_are_separated_by_commas():
    assert names("depth") == ["depth"] and names("normals,depth,normals") == ["normals", "depth"]
    for text in ("", "depth,", ",", "depth,,normals"):
        with pytest.raises(argparse.ArgumentTypeError, match="is no list of names"):
            names(text)

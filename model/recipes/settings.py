"""Entries of a recipe that the command line sets: SECTION.ENTRY=VALUE, with the types and the checks of the recipe itself."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import tomllib

from moesaic.errors import UserError
from moesaic.model.recipes.recipe import (
    DataConfiguration,
    ModelConfiguration,
    Recipe,
    TaskConfiguration,
    TrainingConfiguration,
    load_recipe,
    recipe_entries,
)

_SECTIONS = {"model": ModelConfiguration, "training": TrainingConfiguration, "data": DataConfiguration}
_TABLES = {("model", "input"), ("training", "reference"), ("training", "rates")}
"""Entries that are tables, whose own entries can be set."""


def with_settings(data: dict, settings: Sequence[str]) -> dict:
    """A recipe's entries, structured like a TOML recipe, with those that `settings` set.

    settings: SECTION.ENTRY=VALUE, such as training.batch=4, model.input.resize=pad or, for an entry of the task called NAME,
    model.tasks.NAME.ENTRY=VALUE. VALUE is written as in TOML; text may do without quotes. UserError names what is no entry of a recipe.
    Whether values suit is the recipe's to say.
    """
    found = {section: dict(entries) if isinstance(entries, dict) else entries for section, entries in data.items()}
    for setting in settings:
        path, equals, text = setting.partition("=")
        names = path.strip().split(".")
        if not equals or len(names) < 2 or not all(names):
            raise UserError(f"--set {setting}: state SECTION.ENTRY=VALUE, such as training.batch=4")
        _set(found, names, _value(text.strip()), setting)
    return found


def load_recipe_with(name: str, settings: Sequence[str]) -> Recipe:
    """The recipe that `load_recipe` finds, with the entries that `settings` set; see `with_settings`. UserError if it is no recipe then."""
    if not settings:
        return load_recipe(name)
    try:
        return Recipe.from_dict(with_settings(recipe_entries(name), settings))
    except UserError as error:
        raise UserError(f"recipe {name}: {error}") from None


def changed_recipe(recipe: Recipe, settings: Sequence[str]) -> Recipe:
    """A recipe with the entries that `settings` set; see `with_settings`. UserError if it is no recipe then."""
    return Recipe.from_dict(with_settings(recipe.to_dict(), settings)) if settings else recipe


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (tomllib.TOMLDecodeError, RecursionError):
        return text


def _set(data: dict, names: list[str], value: Any, setting: str) -> None:
    section, entry, *rest = names
    if section not in _SECTIONS:
        raise UserError(f"--set {setting}: a recipe has no section {section!r}: choose {', '.join(_SECTIONS)}")
    _require_entry(_SECTIONS[section], entry, setting, ("backbone",) if section == "model" else ())
    entries = data.setdefault(section, {})
    if (section, entry) == ("model", "tasks") and rest:
        entries["tasks"] = tuple(_changed_task(entries.get("tasks", ()), rest, value, setting))
        return
    if rest and ((section, entry) not in _TABLES or len(rest) > 1):
        raise UserError(f"--set {setting}: {section}.{entry} is no table: leave .{'.'.join(rest)} out")
    entries[entry] = {**dict(entries.get(entry, {})), rest[0]: value} if rest else value


def _changed_task(tasks: Sequence[dict], names: list[str], value: Any, setting: str) -> list[dict]:
    """The tasks with an entry of one of them, or an entry of its table `output` or `metric`, set."""
    task, *path = names
    known = [one.get("name") for one in tasks]
    if task not in known or not 1 <= len(path) <= 2:
        raise UserError(
            f"--set {setting}: state model.tasks.NAME.ENTRY=VALUE with NAME one of {', '.join(map(str, known))}"
        )
    _require_entry(TaskConfiguration, path[0], setting)
    if len(path) == 2 and path[0] not in ("output", "metric"):
        raise UserError(f"--set {setting}: {path[0]} of a task is no table: leave .{path[1]} out")

    def changed(one: dict) -> dict:
        return {**one, path[0]: value if len(path) == 1 else {**one.get(path[0], {}), path[1]: value}}

    return [changed(one) if one.get("name") == task else one for one in tasks]


def _require_entry(configuration: type, entry: str, setting: str, further: tuple[str, ...] = ()) -> None:
    known = [field.name for field in dataclasses.fields(configuration)]
    if entry not in (*known, *further):
        raise UserError(f"--set {setting}: there is no entry {entry!r}: choose {', '.join(sorted((*known, *further)))}")

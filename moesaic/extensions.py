"""Classes that distributions bring by an entry point: how a package adds to moesaic without being part of it.

An entry point of a group leads to a class that is derived from the group's base and called what the entry point is called. What
comes with moesaic is found in the same way. Only what is asked for is loaded.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from typing import Generic, TypeVar

from moesaic.errors import UserError

T = TypeVar("T")


@dataclass(frozen=True)
class Extensions(Generic[T]):
    """The classes of an entry-point group. base: what they are derived from. what: one of them is called in messages.

    attribute: of a class, with its name. Entry points are read once.
    """

    group: str
    base: type[T]
    what: str
    attribute: str

    @cached_property
    def _entries(self) -> dict[str, EntryPoint]:
        found: dict[str, EntryPoint] = {}
        for entry in sorted(entry_points(group=self.group), key=lambda entry: entry.name):
            if entry.name in found:
                raise UserError(
                    f"{self.what} {entry.name!r} comes from {found[entry.name].value} and from {entry.value}: uninstall one of the two"
                )
            found[entry.name] = entry
        if not found:
            raise UserError(
                f"no {self.what} is installed: the installation is older than its sources; install again: pip install -e ."
            )
        return found

    @cached_property
    def _loaded(self) -> dict[str, type[T]]:
        return {}

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all that are installed, sorted."""
        return tuple(self._entries)

    def load(self, name: str) -> type[T]:
        """The class called `name`. UserError if there is none, if it cannot be imported, or if it is no such class."""
        if name not in self._loaded:
            self._loaded[name] = self._load(name)
        return self._loaded[name]

    def _load(self, name: str) -> type[T]:
        if name not in self._entries:
            raise UserError(
                f"unknown {self.what} {name!r}: choose {', '.join(self.names)}, or install the package that brings it"
            )
        entry = self._entries[name]
        origin = f"{self.what} {name!r} of {entry.value}"
        try:
            found = entry.load()
        except (ImportError, AttributeError) as error:
            raise UserError(f"{origin} cannot be imported ({error}): correct its package") from None
        if not (isinstance(found, type) and issubclass(found, self.base)):
            raise UserError(
                f"{origin} is no class derived from {self.base.__module__}.{self.base.__qualname__}: correct it"
            )
        if (own := getattr(found, self.attribute, None)) != name:
            raise UserError(f"{origin} has {self.attribute} = {own!r}: call the entry point and the class the same")
        return found

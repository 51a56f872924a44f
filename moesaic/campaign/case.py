"""A case of a campaign, and how it ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Case:
    """One case.

    key: names its result; it has to depend on everything that the result depends on, see `content_key`. title: for people. function: of a
    module, so that other processes find it by its name; it returns what JSON can hold. arguments: can be pickled.
    """

    key: str
    title: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """How a case ended. result: what the function returned, None if it failed. error: why it failed. kept: known from before."""

    case: Case
    result: Any
    error: Exception | None = None
    kept: bool = False

    def checked(self) -> Any:
        """The result. Raises the error, if there is one."""
        if self.error is not None:
            raise self.error
        return self.result

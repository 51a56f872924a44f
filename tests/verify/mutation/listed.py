"""The mutants that people have thought of, in listed.toml."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tomllib

from moesaic.errors import InternalError, UserError
from tests.verify.mutation.operators import Mutation
from tests.verify.mutation.resets import TakenReset, load_resets

LIST = Path(__file__).with_name("listed.toml")
OPERATOR = "listed"


@dataclass(frozen=True)
class Listed:
    """In `file`, `find` becomes `replace`; `doc` says what that breaks. within: text that holds it, if it stands elsewhere, too."""

    name: str
    file: str
    find: str
    replace: str
    doc: str
    within: str = ""

    def mutation(self, rtl: Path) -> Mutation:
        """It as a change of the design in `rtl`. InternalError if what it changes does not stand there exactly once."""
        text, within = (rtl / self.file).read_bytes(), (self.within or self.find).encode()
        find = self.find.encode()
        if text.count(within) != 1 or within.count(find) != 1:
            raise InternalError(f"mutant {self.name}: {self.find!r} does not stand once in {self.file}")
        start = text.index(within) + within.index(find)
        line = text[:start].count(b"\n") + 1
        return Mutation(
            Path(self.file).stem,
            OPERATOR,
            start,
            start + len(find),
            line,
            self.find,
            self.replace,
            f"{self.name}: {self.doc}",
        )


def load_listed() -> list[Listed]:
    """All mutants of the list."""
    return [Listed(**values) for values in tomllib.loads(LIST.read_text(encoding="utf-8"))["mutant"]]


def chosen_listed(names: Sequence[str]) -> list[Listed | TakenReset]:
    """The named mutants, resets taken away among them; all of listed.toml if none is named. UserError for an unknown name."""
    known: dict[str, Listed | TakenReset] = {mutant.name: mutant for mutant in [*load_listed(), *load_resets()]}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UserError(f"unknown mutant {', '.join(unknown)}; known: {', '.join(known)}")
    return [known[name] for name in names] or [*load_listed()]

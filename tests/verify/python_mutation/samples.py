"""Mutants of Python files, by the operators of Cosmic Ray (https://cosmic-ray.readthedocs.io)."""

from __future__ import annotations

import ast
import random
from dataclasses import dataclass

from moesaic.errors import UserError
from moesaic.installation import how_to_install
from tests.verify.python_sources import REPOSITORY

_LEFT_OUT = ("core/RemoveDecorator", "core/ExceptionReplacer", "core/VariableReplacer", "core/VariableInserter")
"""Operators whose mutants fail for other reasons than a wrong value, or need names."""


@dataclass(frozen=True)
class PythonMutant:
    """file: from the repository's root. operator: as Cosmic Ray calls it. occurrence: which of its places in the file."""

    file: str
    operator: str
    occurrence: int

    @property
    def name(self) -> str:
        """Unique in one version of the file."""
        return f"{self.file} {self.operator.removeprefix('core/')} {self.occurrence}"

    def source(self) -> str:
        """The changed file."""
        from cosmic_ray.mutating import mutate_code
        from cosmic_ray.plugins import get_operator

        text = (REPOSITORY / self.file).read_text(encoding="utf-8")
        changed = mutate_code(text, get_operator(self.operator)(), self.occurrence)
        assert changed is not None, f"{self.name}: there is no such place"
        return changed

    def shown(self) -> str:
        """Where it changes what into what."""
        before = (REPOSITORY / self.file).read_text(encoding="utf-8").splitlines()
        for line, (old, new) in enumerate(zip(before, self.source().splitlines()), 1):
            if old != new:
                return f"{self.file}:{line}: `{old.strip()}` → `{new.strip()}`"
        return self.name


def sample(files: list[str], count: int, seed: int) -> list[PythonMutant]:
    """About `count` mutants of these files, of each in proportion to what it has.

    Left out are those that change nothing but annotations and documentation.

    Raises UserError if Cosmic Ray is missing.
    """
    places = {file: _places(file) for file in files}
    total = sum(map(len, places.values()))
    chosen: list[PythonMutant] = []
    for file, here in places.items():
        rng = random.Random(f"{seed} {file}")
        rng.shuffle(here)
        wanted = max(1, round(count * len(here) / total))
        for mutant in here:
            if wanted == 0:
                break
            if _code(mutant.source()) != _code((REPOSITORY / file).read_text(encoding="utf-8")):
                chosen.append(mutant)
                wanted -= 1
    return chosen


def _places(file: str) -> list[PythonMutant]:
    try:
        from cosmic_ray.ast import ast_nodes, get_ast
        from cosmic_ray.plugins import get_operator, operator_names
    except ImportError:
        raise UserError(
            f"cosmic-ray is missing: mutants of Python need it; get it with: {how_to_install('cosmic-ray')}"
        ) from None
    nodes = list(ast_nodes(get_ast((REPOSITORY / file).read_text(encoding="utf-8"))))
    found: list[PythonMutant] = []
    for operator in operator_names():
        if operator not in _LEFT_OUT:
            made = get_operator(operator)()
            number = sum(len(list(made.mutation_positions(node))) for node in nodes)
            found += [PythonMutant(file, operator, occurrence) for occurrence in range(number)]
    return found


class _Bare(ast.NodeTransformer):
    def visit_arg(self, node: ast.arg) -> ast.arg:
        node.annotation = None
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AnnAssign:
        node.annotation = ast.Constant(None)
        self.generic_visit(node)
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        node.returns = None
        self.generic_visit(node)
        return node


def _code(source: str) -> str:
    """What of a file is executed."""
    return ast.dump(_Bare().visit(ast.parse(source)))

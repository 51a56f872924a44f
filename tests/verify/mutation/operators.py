"""Where the RTL can be broken, and how: source-level mutation operators on slang's elaborated design.

Only what the given configuration elaborates is considered, and of it only what is computed at run time: right sides of assignments,
conditions, arguments of functions and expressions at input ports. Parameters, ranges, bounds of loops, generate conditions, labels of cases
and assertions stay as they are. An expression in several instances is one place.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moesaic.errors import InternalError

_SWAPS = {
    "Add": ("-",),
    "Subtract": ("+",),
    "Multiply": ("+",),
    "LessThan": ("<=", ">="),
    "LessThanEqual": ("<", ">"),
    "GreaterThan": (">=", "<="),
    "GreaterThanEqual": (">", "<"),
    "Equality": ("!=",),
    "Inequality": ("==",),
    "LogicalAnd": ("||",),
    "LogicalOr": ("&&",),
    "BinaryAnd": ("|",),
    "BinaryOr": ("&",),
    "BinaryXor": ("|",),
    "LogicalShiftLeft": (">>",),
    "LogicalShiftRight": ("<<",),
    "ArithmeticShiftRight": (">>",),
}
_OPERATORS = {
    "arithmetic": ("Add", "Subtract", "Multiply"),
    "relational": ("LessThan", "LessThanEqual", "GreaterThan", "GreaterThanEqual"),
    "equality": ("Equality", "Inequality"),
    "logical": ("LogicalAnd", "LogicalOr"),
    "bitwise": ("BinaryAnd", "BinaryOr", "BinaryXor"),
    "shift": ("LogicalShiftLeft", "LogicalShiftRight", "ArithmeticShiftRight"),
}
_OPERATOR_OF = {kind: operator for operator, kinds in _OPERATORS.items() for kind in kinds}
_DROPPABLE = ("LogicalAnd", "LogicalOr", "BinaryAnd", "BinaryOr")
_REMOVABLE = ("LogicalNot", "BitwiseNot", "Minus")
_REDUCTIONS = {"BitwiseAnd": "|", "BitwiseOr": "&"}
_HANDSHAKE = re.compile(r"(?:^|_)(?:valid|ready|accept|take|done|last|busy|grant|room|empty|full)(?:_[a-z])?$")
ASSERTION_MODULES = ("moesaic_assertions_armed", "moesaic_handshake_rules")
"""Modules that hold nothing but assertions: the machine does not change with them."""
_LITERAL = re.compile(rb"(\d+)'(s?)([bdh])([0-9a-fA-F_]+)$")


@dataclass(frozen=True)
class Mutation:
    """One change of one file.

    module: what the file is named after. operator: the kind of change. start, end: byte range that `replacement` replaces. line: of start.
    original: the range's text. title: what it breaks, if a person has said so.
    """

    module: str
    operator: str
    start: int
    end: int
    line: int
    original: str
    replacement: str
    title: str = ""

    @property
    def name(self) -> str:
        """Unique among those of one design."""
        return f"{self.module}:{self.line}:{self.start}-{self.end}:{self.operator}:{' '.join(self.replacement.split())}"

    def apply(self, text: bytes) -> bytes:
        """The file's text with this change alone."""
        return text[: self.start] + self.replacement.encode() + text[self.end :]


def mutations(top: str, sources: Sequence[Path], parameters: Mapping[str, int | str]) -> list[Mutation]:
    """All mutations of the modules below `top`, in the order of the files.

    sources: SystemVerilog files, packages first. parameters: of the top module.

    Raises InternalError if slang cannot read the sources.
    """
    driver = _driver(top, sources, parameters)
    finder = _Finder(driver, {path.stem: path.read_bytes() for path in sources if path.stem not in ASSERTION_MODULES})
    finder.search(driver.createCompilation())
    return sorted(finder.found, key=lambda each: (each.module, each.start, each.end, each.operator, each.replacement))


def parameter_sets(
    top: str, sources: Sequence[Path], parameters: Mapping[str, int | str]
) -> dict[str, list[dict[str, str]]]:
    """By module, the different values that its parameters have in the instances below `top`. Arguments and errors as `mutations`."""
    from pyslang import ast  # pyright: ignore[reportMissingModuleSource]

    found: dict[str, list[dict[str, str]]] = {}

    def visit(symbol: Any) -> Any:
        if isinstance(symbol, ast.InstanceSymbol):
            values = {each.name: str(each.value) for each in symbol.body.parameters if not each.isLocalParam}
            if values not in found.setdefault(symbol.body.name, []):
                found[symbol.body.name].append(values)
        return ast.VisitAction.Advance

    _driver(top, sources, parameters).createCompilation().getRoot().visit(visit)
    return found


def _driver(top: str, sources: Sequence[Path], parameters: Mapping[str, int | str]) -> Any:
    from pyslang.driver import Driver  # pyright: ignore[reportMissingModuleSource]

    driver = Driver()
    driver.addStandardArgs()
    overrides = " ".join(f'-G "{name}={value}"' for name, value in sorted(parameters.items()))
    files = " ".join(f'"{path}"' for path in sources)
    if not (
        driver.parseCommandLine(f"slang --single-unit --top {top} {overrides} {files}")
        and driver.processOptions()
        and driver.parseAllSources()
    ):
        raise InternalError(f"slang cannot read the sources of {top}")
    return driver


class _Finder:
    """Walks the elaborated design and collects mutations in `found`, each once."""

    def __init__(self, driver: Any, texts: Mapping[str, bytes]) -> None:
        self._manager, self._texts = driver.sourceManager, texts
        self._known: set[Mutation] = set()
        self._constants: set[str] = set()
        self.found: list[Mutation] = []

    def search(self, compilation: Any) -> None:
        from pyslang import ast  # pyright: ignore[reportMissingModuleSource]

        def visit(symbol: Any) -> Any:
            if isinstance(symbol, ast.ContinuousAssignSymbol):
                self._continuous(symbol.assignment)
            elif isinstance(symbol, ast.ProceduralBlockSymbol):
                if "Always" in symbol.procedureKind.name:
                    self._statement(symbol.body)
            elif isinstance(symbol, ast.SubroutineSymbol):
                self._statement(symbol.body)
            elif isinstance(symbol, ast.InstanceSymbol):
                for connection in symbol.portConnections:
                    if connection.expression is not None and connection.expression.kind.name != "Assignment":
                        self._expression(connection.expression)
                return ast.VisitAction.Advance
            else:
                return ast.VisitAction.Advance
            return ast.VisitAction.Skip

        root = compilation.getRoot()
        root.visit(visit)
        for package in compilation.getPackages():
            if package.name in self._texts:
                package.visit(visit)

    def _place(self, node: Any) -> tuple[str, int, int] | None:
        """Module and byte range of a node; None for what a macro wrote."""
        where = node.sourceRange
        if self._manager.isMacroLoc(where.start) or self._manager.isMacroLoc(where.end):
            return None
        module = Path(self._manager.getFileName(where.start)).stem
        return (module, where.start.offset, where.end.offset) if module in self._texts else None

    def _text(self, node: Any) -> str:
        place = self._place(node)
        return "" if place is None else self._texts[place[0]][place[1] : place[2]].decode()

    def _add(self, node: Any, operator: str, *replacements: str) -> None:
        place = self._place(node)
        if place is None:
            return
        module, start, end = place
        text = self._texts[module]
        original, line = text[start:end].decode(), text[:start].count(b"\n") + 1
        for replacement in replacements:
            mutation = Mutation(module, operator, start, end, line, original, replacement)
            if replacement != original and mutation not in self._known:
                self._known.add(mutation)
                self.found.append(mutation)

    # --- statements ---

    def _continuous(self, assignment: Any) -> None:
        target = self._text(assignment.left).split("[")[0].split(".")[-1].strip()
        if _HANDSHAKE.search(target) and self._at_run_time(assignment.right):
            self._add(assignment.right, "handshake", "'0", "'1")
        self._expression(assignment.right)

    def _statement(self, node: Any) -> None:
        match node.kind.name:
            case "List":
                for each in node.list:
                    self._statement(each)
            case "Block":
                self._statement(node.body)
            case "Timed":
                self._statement(node.stmt)
            case "Conditional" if not _has_effect(node):
                pass
            case "Conditional":
                for condition in node.conditions:
                    if self._at_run_time(condition.expr):
                        text = self._text(condition.expr)
                        self._add(condition.expr, "condition", f"!({text})", "1'b1", "1'b0")
                    self._expression(condition.expr)
                self._statement(node.ifTrue)
                if node.ifFalse is not None:
                    self._statement(node.ifFalse)
            case "Case":
                self._expression(node.expr)
                for item in node.items:
                    self._statement(item.stmt)
                if node.defaultCase is not None:
                    self._statement(node.defaultCase)
            case "ForLoop":
                outside = set(self._constants)
                self._constants |= {variable.name for variable in node.loopVars}
                self._statement(node.body)
                self._constants = outside
            case "ExpressionStatement":
                if node.expr.kind.name == "Assignment":
                    if node.expr.isNonBlocking:
                        self._add(node, "dropped assignment", ";")
                    # of `x += e`, slang makes `x = x + e`
                    self._expression(node.expr.right.right if node.expr.isCompound else node.expr.right)
            case _:
                pass

    # --- expressions ---

    def _at_run_time(self, expression: Any) -> bool:
        """Whether its value depends on a variable or a net, and not only on parameters and counters of unrolled loops."""
        from pyslang import ast  # pyright: ignore[reportMissingModuleSource]

        found = False

        def visit(node: Any) -> Any:
            nonlocal found
            if isinstance(node, (ast.NamedValueExpression, ast.HierarchicalValueExpression)):
                kind = node.symbol.kind.name
                found |= kind in ("Variable", "Net", "FormalArgument") and node.symbol.name not in self._constants
            return ast.VisitAction.Advance

        expression.visit(visit)
        return found

    def _operands(self, node: Any) -> Iterator[Any]:
        """Parts of an expression that are computed at run time."""
        match node.kind.name:
            case "BinaryOp":
                yield from (node.left, node.right)
            case "UnaryOp" | "Conversion":
                yield node.operand
            case "ConditionalOp":
                yield from (*(condition.expr for condition in node.conditions), node.left, node.right)
            case "Concatenation":
                yield from node.operands
            case "Replication":
                yield node.concat
            case "ElementSelect":
                yield from (node.value, node.selector)
            case "RangeSelect":
                yield node.value
                if node.selectionKind.name != "Simple":
                    yield node.left
            case "MemberAccess":
                yield node.value
            case "Call":
                if not node.isSystemCall or node.subroutineName in ("$signed", "$unsigned"):
                    yield from node.arguments
            case "SimpleAssignmentPattern":
                yield from node.elements
            case _:
                pass

    def _expression(self, node: Any) -> None:
        kind = node.kind.name
        if kind in ("IntegerLiteral", "UnbasedUnsizedIntegerLiteral"):
            self._literal(node)
            return
        if not self._at_run_time(node):
            return
        if kind == "BinaryOp":
            self._binary(node)
        elif kind == "UnaryOp":
            operand = self._text(node.operand)
            if node.op.name in _REMOVABLE:
                self._add(node, "removed operator", f"({operand})")
            elif node.op.name in _REDUCTIONS:
                self._add(node, "reduction", f"{_REDUCTIONS[node.op.name]}({operand})")
        elif kind == "ConditionalOp" and len(node.conditions) == 1:
            condition, left, right = (self._text(each) for each in (node.conditions[0].expr, node.left, node.right))
            self._add(node, "branches", f"(({condition}) ? ({right}) : ({left}))")
        for operand in self._operands(node):
            self._expression(operand)

    def _binary(self, node: Any) -> None:
        left, right = self._text(node.left), self._text(node.right)
        if not (left and right):
            return
        name = node.op.name
        if name in _SWAPS:
            self._add(node, _OPERATOR_OF[name], *(f"(({left}) {symbol} ({right}))" for symbol in _SWAPS[name]))
        if name in _DROPPABLE:
            kept = [self._text(each) for each in (node.left, node.right) if self._at_run_time(each)]
            self._add(node, "dropped operand", *(f"({each})" for each in kept))

    def _literal(self, node: Any) -> None:
        text = self._text(node).encode()
        if text in (b"'0", b"'1"):
            self._add(node, "literal", "'1" if text == b"'0" else "'0")
        elif sized := _LITERAL.fullmatch(text):
            bits, signed, base, digits = int(sized[1]), sized[2].decode(), sized[3], sized[4].replace(b"_", b"")
            value = int(digits, {b"b": 2, b"d": 10, b"h": 16}[base])
            others = dict.fromkeys(((value + 1) % 2**bits, (value - 1) % 2**bits))
            self._add(node, "literal", *(f"{bits}'{signed}d{other}" for other in others))
        elif text.isdigit():
            self._add(node, "literal", str(int(text) + 1), *([str(int(text) - 1)] if int(text) > 1 else []))


def _has_effect(statement: Any) -> bool:
    """Whether a statement assigns anything; otherwise it only asserts."""
    from pyslang import ast  # pyright: ignore[reportMissingModuleSource]

    found = False

    def visit(node: Any) -> Any:
        nonlocal found
        found |= isinstance(node, ast.AssignmentExpression)
        return ast.VisitAction.Advance

    statement.visit(visit)
    return found

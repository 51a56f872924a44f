"""Find casts in SystemVerilog that some synthesis tool has read differently from the simulators: lint refuses them.

A unary operator directly before a size cast, as in `~Width'(x)`: Yosys 0.70 takes the operator for part of the size, `(~Width)'(x)`, and
refuses the cast or, where that size is a large unsigned number, makes another value. `~(Width'(x))` is read by all. A size cast of what was
only made signed, as in `Width'($signed(x))` or `Width'(signed'(x))`: Vivado has dropped bits of one
(github.com/black-parrot/black-parrot pull request 932). Writing the sign extension out is read by all.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

_CAST = "CastExpressionSyntax"
_SIGNED_CALL = "$signed"


def refused_casts(path: Path) -> list[str]:
    """One line of text, `file:line: what and what instead`, for each such cast in a file, in its order.

    Generated and commented-out code counts like any other; what `ifdef removes does not.
    """
    from pyslang.syntax import SyntaxTree  # pyright: ignore[reportMissingModuleSource]

    tree = SyntaxTree.fromFile(str(path))
    found: list[str] = []

    def report(node: Any, remedy: str) -> None:
        line = tree.sourceManager.getLineNumber(node.sourceRange.start)
        found.append(f"{path.name}:{line}: {' '.join(str(node).split())}: {remedy}")

    def visit(node: Any) -> bool:
        kind = type(node).__name__
        if kind == "PrefixUnaryExpressionSyntax" and type(node.operand).__name__ == _CAST:
            report(node, "Yosys 0.70 takes the operator for part of the size; put the cast into parentheses")
        elif kind == _CAST and _only_made_signed(node.right.expression):
            report(node, "Vivado has lost bits of such a cast; write the sign extension out")
        return True

    tree.root.visit(visit)
    return found


def _only_made_signed(expression: Any) -> bool:
    match type(expression).__name__:
        case "SignedCastExpressionSyntax":
            return expression.signing.valueText == "signed"
        case "InvocationExpressionSyntax":
            return str(expression.left).strip() == _SIGNED_CALL
        case "ParenthesizedExpressionSyntax":
            return _only_made_signed(expression.expression)
    return False

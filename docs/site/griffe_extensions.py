"""Extensions of Griffe, which reads the code for the reference."""

from __future__ import annotations

import ast
from typing import Any

import griffe

from docs.site.field_lists import as_list


class TupleConstants(griffe.Extension):
    """Adds what Griffe leaves out: names that a module or class assigns as a tuple, `A, B = 1, 2`."""

    def on_members(self, *, node: ast.AST | griffe.ObjectNode, obj: griffe.Object, agent: Any, **_: Any) -> None:
        if not isinstance(node, ast.Module | ast.ClassDef):
            return
        for statement in node.body:
            if not isinstance(statement, ast.Assign) or not isinstance(statement.targets[0], ast.Tuple):
                continue
            names = statement.targets[0].elts
            given = statement.value.elts if isinstance(statement.value, ast.Tuple) else [None] * len(names)
            for name, value in zip(names, given, strict=True):
                if isinstance(name, ast.Name) and name.id not in obj.members:
                    expression = None if value is None else griffe.safe_get_expression(value, parent=obj)
                    attribute = griffe.Attribute(name.id, value=expression, lineno=statement.lineno, parent=obj)
                    attribute.labels.add("module-attribute" if obj.is_module else "class-attribute")
                    obj.set_member(name.id, attribute)


class FieldLists(griffe.Extension):
    """Shows lines of a docstring that describe a parameter or field as a list."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = as_list(obj.docstring.value)

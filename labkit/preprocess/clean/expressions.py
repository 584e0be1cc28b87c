"""Arithmetic between columns, given as data: read and computed without running any code.

Numbers, column names, ``+ - * / **``, brackets, and ``log``, ``exp``, ``sqrt`` and ``abs``.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labkit.errors import SettingError

_BINARY: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = MappingProxyType(
    {
        ast.Add: operator.add,
        ast.Sub: operator.sub,
        ast.Mult: operator.mul,
        ast.Div: np.divide,
        ast.Pow: np.power,
    }
)
_FUNCTIONS: Mapping[str, Callable[[Any], Any]] = MappingProxyType(
    {"log": np.log, "exp": np.exp, "sqrt": np.sqrt, "abs": np.abs}
)


def names_in(expression: str) -> tuple[str, ...]:
    """The columns that an expression computes with, in the order in which they occur.

    Raises:
        SettingError: it cannot be read, does more than arithmetic, or names no column.
    """
    names: dict[str, None] = {}
    _visit(_parse(expression), expression, names)
    if not names:
        raise SettingError(f"expression {expression!r} names no column; write one, such as 'a / b'")
    return tuple(names)


def evaluate(expression: str, columns: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    """(rows,) the expression's values; NaN where a column is missing or it has no value.

    Args:
        expression: one that ``names_in`` accepts.
        columns: (rows,) each, by name.
    """
    with np.errstate(all="ignore"):
        values: NDArray[np.float64] = np.asarray(_value(_parse(expression), columns), dtype=float)
    return values


def _parse(expression: str) -> ast.expr:
    try:
        return ast.parse(expression, mode="eval").body
    except SyntaxError as error:
        raise SettingError(f"expression {expression!r} cannot be read: {error.msg}") from error


def _visit(node: ast.expr, expression: str, names: dict[str, None]) -> None:
    """Note the names below a node; refuse what is not arithmetic."""
    match node:
        case ast.Name():
            names[node.id] = None
        case ast.Constant(value=int() | float()) if not isinstance(node.value, bool):
            pass
        case ast.UnaryOp(op=ast.USub()):
            _visit(node.operand, expression, names)
        case ast.BinOp() if type(node.op) in _BINARY:
            _visit(node.left, expression, names)
            _visit(node.right, expression, names)
        case ast.Call(func=ast.Name(), args=[argument], keywords=[]) if (
            isinstance(node.func, ast.Name) and node.func.id in _FUNCTIONS
        ):
            _visit(argument, expression, names)
        case _:
            raise SettingError(
                f"expression {expression!r} has {ast.unparse(node)!r}; use column names, numbers, "
                f"+ - * / **, brackets and {', '.join(_FUNCTIONS)}"
            )


def _value(node: ast.expr, columns: Mapping[str, NDArray[np.float64]]) -> Any:
    match node:
        case ast.Name():
            return columns[node.id]
        case ast.Constant():
            return np.float64(node.value)  # type: ignore[arg-type]
        case ast.UnaryOp():
            return -_value(node.operand, columns)
        case ast.BinOp():
            left, right = _value(node.left, columns), _value(node.right, columns)
            return _BINARY[type(node.op)](left, right)
        case ast.Call(func=ast.Name(id=name)):
            return _FUNCTIONS[name](_value(node.args[0], columns))
    raise AssertionError(f"names_in lets no {ast.unparse(node)} through")

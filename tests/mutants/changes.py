"""Small changes of a Python file, as mistakes are made: a comparison turned around, a step left out, a bound moved."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_TURNED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
_ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add}


@dataclass(frozen=True)
class Mutant:
    """One change of a file: the line, what is changed there in words, and which node (as `ast.walk` counts) by what."""

    path: Path
    line: int
    what: str
    number: int
    new: ast.AST

    def text(self) -> str:
        """The file's whole text with the change."""
        tree = ast.parse(self.path.read_text())
        _replace(tree, self.number, self.new)
        return ast.unparse(ast.fix_missing_locations(tree))


def mutants(path: Path) -> Iterator[Mutant]:
    """Every change that is known of a file; docstrings, annotations, decorators and messages stay as they are."""
    tree = ast.parse(path.read_text())
    decorators = {id(part) for node in ast.walk(tree) for part in _of_decorators(node)}
    for number, node in enumerate(ast.walk(tree)):
        if id(node) not in decorators and (changed := _changed(node)):
            what, new = changed
            yield Mutant(path, getattr(node, "lineno", 0), what, number, new)


def _of_decorators(node: ast.AST) -> Iterator[ast.AST]:
    """What `@dataclass(frozen=True)` and its like consist of: no test could see a difference worth its lines."""
    for decorator in getattr(node, "decorator_list", []):
        yield from ast.walk(decorator)


def _changed(node: ast.AST) -> tuple[str, ast.AST] | None:
    """What becomes of a node: in words, and itself."""
    new: ast.AST
    match node:
        case ast.Compare(ops=[operator]) if type(operator) in _TURNED:
            new = ast.Compare(node.left, [_TURNED[type(operator)]()], node.comparators)
        case ast.BoolOp():
            new = ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values)
        case ast.UnaryOp(op=ast.Not()):
            return f"{ast.unparse(node)} -> {ast.unparse(node.operand)}", node.operand
        case ast.BinOp() if type(node.op) in _ARITHMETIC:
            new = ast.BinOp(node.left, _ARITHMETIC[type(node.op)](), node.right)
        case ast.Constant(value=bool()):
            new = ast.Constant(not node.value)
        case ast.Constant(value=int() as value):
            new = ast.Constant(value + 1)
        case ast.Return(value=ast.expr() as value) if not isinstance(value, ast.Constant):
            new = ast.Return(ast.Constant(None))
        case ast.Expr(value=ast.Call() | ast.Yield() | ast.YieldFrom()):
            new = ast.Pass()
        case ast.If():
            new = ast.If(ast.UnaryOp(ast.Not(), node.test), node.body, node.orelse)
            return f"if {ast.unparse(node.test)} -> if not …", new
        case _:
            return None
    return f"{ast.unparse(node)[:60]} -> {ast.unparse(ast.fix_missing_locations(new))[:60]}", new


def _replace(tree: ast.Module, number: int, new: ast.AST) -> None:
    """Put `new` in the place of the node that `ast.walk` counts as `number`."""
    old = next(node for at, node in enumerate(ast.walk(tree)) if at == number)
    for parent in ast.walk(tree):
        for field, value in ast.iter_fields(parent):
            if value is old:
                setattr(parent, field, new)
                return
            if isinstance(value, list):
                for index, each in enumerate(value):
                    if each is old:
                        value[index] = new
                        return

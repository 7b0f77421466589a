"""Keeps files and functions small. There is no list of exceptions: what grows too large is divided."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

FILE_LINES = 300
FUNCTION_LINES = 40
NESTING = 3
PARAMETERS = 6

Function = ast.FunctionDef | ast.AsyncFunctionDef
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
BLOCKS = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.With, ast.AsyncWith, ast.Try, ast.Match)


def violations(source: str) -> Iterator[tuple[int, str]]:
    """Yield line and message of everything in a module that is too large."""
    lines = len(source.splitlines())
    if lines > FILE_LINES:
        yield 1, f"the file has {lines} lines, {FILE_LINES} are allowed"
    for function in ast.walk(ast.parse(source)):
        if isinstance(function, FUNCTIONS):
            yield from ((function.lineno, f"{function.name} has {excess}") for excess in excesses(function))


def excesses(function: Function) -> Iterator[str]:
    """Yield what a function has too much of."""
    for what, found, allowed in measure(function):
        if found > allowed:
            yield f"{found} {what}, {allowed} are allowed"


def measure(function: Function) -> Iterable[tuple[str, int, int]]:
    """Say what a function has: name of the measure, found, allowed."""
    return (
        ("lines", body_lines(function), FUNCTION_LINES),
        ("levels of nesting", nesting(function.body), NESTING),
        ("parameters", parameters(function), PARAMETERS),
    )


def body_lines(function: Function) -> int:
    """Count the lines from the first statement after the docstring to the end."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def nesting(statements: list[ast.stmt]) -> int:
    """Count how deep blocks lie in one another; `elif` lies beside its `if`, a function starts anew."""
    return max((_depth(statement) for statement in statements), default=0)


def _depth(node: ast.AST) -> int:
    if isinstance(node, (*FUNCTIONS, ast.ClassDef, ast.Lambda)):
        return 0
    own = isinstance(node, BLOCKS)
    deepest = 0
    for child in ast.iter_child_nodes(node):
        beside = isinstance(node, ast.If) and isinstance(child, ast.If) and node.orelse == [child]
        deepest = max(deepest, _depth(child) - beside)
    return deepest + own


def parameters(function: Function) -> int:
    """Count the parameters, without `self` and `cls`."""
    of = function.args
    names = [argument.arg for argument in (*of.posonlyargs, *of.args, *of.kwonlyargs)]
    variadic = (of.vararg is not None) + (of.kwarg is not None)
    return len(names) + variadic - (names[:1] in (["self"], ["cls"]))


def python_files(root: Path) -> Iterator[Path]:
    """Yield the files that are held to the sizes: sources of the packages and the tools."""
    for folder in (*sorted(root.glob("packages/*/src")), root / "tools"):
        for path in sorted(folder.rglob("*")):
            if path.is_file() and (path.suffix == ".py" or _is_script(path)):
                yield path


def _is_script(path: Path) -> bool:
    if path.suffix:
        return False
    with path.open("rb") as script:
        first = script.readline()
    return first.startswith(b"#!") and b"python" in first


def main() -> int:
    """Print what is too large; exit code 1 when something is."""
    found = [
        f"{path.relative_to(ROOT)}:{line}: {message}"
        for path in python_files(ROOT)
        for line, message in violations(path.read_text(encoding="utf-8"))
    ]
    print("\n".join(found) or "sizes: all files and functions are small enough")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

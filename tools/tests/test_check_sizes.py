from pathlib import Path

import pytest

import check_sizes


def messages(source: str) -> list[str]:
    return [message for _line, message in check_sizes.violations(source)]


def function(body: str, *, parameters: str = "") -> str:
    return f"def place({parameters}):\n" + "".join(f"    {line}\n" for line in body.splitlines())


NESTED = """
for a in x:
    if a:
        with a:
            while a:
                pass
"""
ELIF_CHAIN = """
if a:
    pass
elif b:
    pass
elif c:
    pass
elif d:
    for e in d:
        if e:
            pass
"""
INNER_FUNCTION = """
for a in x:
    if a:
        def inner():
            for b in a:
                if b:
                    pass
"""


def test_a_file_of_the_largest_size_passes_and_one_line_more_does_not() -> None:
    assert messages("x = 1\n" * 300) == []
    assert messages("x = 1\n" * 301) == ["the file has 301 lines, 300 are allowed"]


def test_the_docstring_is_no_line_of_the_body() -> None:
    body = "x = 1\n" * 40
    assert messages(function('"""One.\n\nTwo.\n"""\n' + body)) == []
    assert messages(function(body + "x = 2")) == ["place has 41 lines, 40 are allowed"]


@pytest.mark.parametrize("body", [ELIF_CHAIN, INNER_FUNCTION])
def test_branches_side_by_side_and_inner_functions_do_not_nest(body: str) -> None:
    assert messages(function(body)) == []


def test_four_blocks_in_one_another_are_too_deep() -> None:
    assert messages(function(NESTED)) == ["place has 4 levels of nesting, 3 are allowed"]


@pytest.mark.parametrize(
    "parameters", ["a, b, c, d, e, f", "self, a, b, /, c, *, d, e, f", "cls, a, *b, c, d, e, **f"]
)
def test_six_parameters_beside_self_are_allowed(parameters: str) -> None:
    assert messages(function("pass", parameters=parameters)) == []


@pytest.mark.parametrize(
    "parameters", ["a, b, c, d, e, f, g", "self, a, b, c, d, e, *f, **g", "a, *, self, b, c, d, e, f"]
)
def test_seven_parameters_are_too_many(parameters: str) -> None:
    assert messages(function("pass", parameters=parameters)) == ["place has 7 parameters, 6 are allowed"]


def test_methods_and_coroutines_are_measured_too() -> None:
    source = "class Node:\n    async def place(self, a, b, c, d, e, f, g):\n        pass\n"
    assert messages(source) == ["place has 7 parameters, 6 are allowed"]


def test_sources_tools_and_python_scripts_are_checked_but_no_tests_of_packages(tmp_path: Path) -> None:
    wanted = ["packages/p/src/p/core.py", "tools/check.py", "tools/bench/run.py", "tools/run"]
    for name in [*wanted, "packages/p/tests/test_core.py", "tools/install", "tools/notes.md"]:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("#!/bin/sh\n" if name == "tools/install" else "#!/usr/bin/env python3\n")
    found = {str(path.relative_to(tmp_path)) for path in check_sizes.python_files(tmp_path)}
    assert found == set(wanted)

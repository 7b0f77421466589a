"""Command line of a compute unit that is one process (spmd_variation `single`). Pure.

No shell stands between executor and program unless the unit has `pre_exec` or `post_exec` lines; then /bin/sh runs
these, and the program's arguments still reach it one by one, as the shell's positional parameters.
"""

from __future__ import annotations

from collections.abc import Sequence

SHELL = "/bin/sh"


def unit_argv(
    executable: str, arguments: Sequence[str], pre_exec: Sequence[str] = (), post_exec: Sequence[str] = ()
) -> list[str]:
    """Return the argv of a unit; its first element is the program to start.

    Args:
        executable: path or name of the program, already expanded.
        arguments: its arguments, already expanded.
        pre_exec: shell lines run before it; the first that fails ends the unit with its exit code.
        post_exec: shell lines run after it, whatever its exit code, which stays the unit's.
    """
    if not pre_exec and not post_exec:
        return [executable, *arguments]
    return [SHELL, "-c", _script(pre_exec, post_exec), "sh", executable, *arguments]


def _script(pre_exec: Sequence[str], post_exec: Sequence[str]) -> str:
    before = ["set -e", *pre_exec, "set +e"] if pre_exec else []
    if not post_exec:
        return "\n".join([*before, 'exec "$@"'])
    return "\n".join([*before, '"$@"', "pilot_exit_code=$?", *post_exec, 'exit "$pilot_exit_code"'])

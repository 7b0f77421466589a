"""The script that each rank of an MPI unit runs, whichever launcher started it. Pure.

Everything that launchers do differently, or not at all, is done here in one way: the rank's number, its cores and GPUs,
the unit's whole environment, its working directory, its input, a file for each rank's output, `pre_exec` once on each
node, and who failed first. It is plain POSIX shell and may be run by any; all names of its own begin with `_pilot_`, so
that they meet none of the user's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

RANK = "PILOT_RANK"
ANY_RANK = "\0"
"""Stands for the number of the rank in texts that are the same for all ranks; no text of a user's can have it."""

BEGUN = "begun"
"""File in the launch folder that the first rank makes; while there is none, nothing of the unit has run."""

FAILED = "failed"
"""File in the launch folder that the rank that failed first makes: rank, exit code, and what failed."""

GPU_VARIABLES = ("CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES")

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Slot(NamedTuple):
    """Where one rank lies."""

    node: int
    """Number of its node among those of the unit."""
    cores: str
    """Its CPUs, like ``0-3,8``."""
    gpus: str = ""
    """Its GPUs, like ``0,1``."""


class RankScript(NamedTuple):
    """What the ranks of one unit run. In all texts but those of `pre_exec`, `ANY_RANK` stands for the rank's number."""

    slots: Sequence[Slot]
    """By rank."""
    rank_variables: Sequence[str]
    """Where the launcher tells a rank its number."""
    launch_folder: str
    folder: str
    """Working directory."""
    argv: Sequence[str]
    environment: Mapping[str, str] = {}
    pre_exec: Sequence[str] = ()
    stdin: str = ""
    """File that rank 0 reads; the others, and rank 0 when it is "", read nothing."""
    stdout: str = ""
    """File of each rank, "" for what the launcher provides."""
    stderr: str = ""
    is_pinned: bool = False


def can_be_exported(name: str) -> bool:
    """Whether a shell can pass on a variable of this name."""
    return _NAME.fullmatch(name) is not None


def quote(text: str) -> str:
    """Return `text` as one word of a shell's, with the rank's number where `ANY_RANK` stands."""
    quoted = "'" + text.replace("'", "'\\''") + "'"
    return quoted.replace(ANY_RANK, f"'\"${RANK}\"'")


def rank_script(what: RankScript) -> str:
    """Return the text of the script."""
    parts = [
        _head(what),
        _ranks(what),
        _SESSIONS,
        _BINDING if what.is_pinned else "",
        *(f"export {name}={quote(value)}\n" for name, value in what.environment.items()),
        _GPUS,
        f"cd {quote(what.folder)} || _pilot_fail 1 'cd'\n",
        _streams(what),
        _pre_exec(what.pre_exec) if what.pre_exec else "",
        f"set -- {' '.join(map(quote, what.argv))}\n",
        _RUN,
    ]
    return "".join(parts)


def _head(what: RankScript) -> str:
    return f"""\
#!/bin/sh
# What each rank of this unit runs; written by its agent.
_pilot_launch={quote(what.launch_folder)}
# The first rank that fails says so, for the agent; launchers tell it in their own ways.
_pilot_fail() {{
    (set -C && echo "${{{RANK}:-?}} $1 $2" >"$_pilot_launch/{FAILED}") 2>/dev/null
    exit "$1"
}}
[ -e "$_pilot_launch/{BEGUN}" ] || : >"$_pilot_launch/{BEGUN}" || _pilot_fail 1 begin
"""


def _ranks(what: RankScript) -> str:
    number = ""
    for name in reversed(what.rank_variables):
        number = f"${{{name}:-{number}}}"
    rows = "".join(
        f"{rank}) _pilot_node={slot.node} _pilot_cores={slot.cores} _pilot_gpus={slot.gpus} ;;\n"
        for rank, slot in enumerate(what.slots)
    )
    names = ", ".join(what.rank_variables)
    return f"""\
{RANK}={number}
case ${RANK} in
{rows}*)
    echo "the launcher has told no rank of 0 to {len(what.slots) - 1}: '${RANK}' is what it says in {names}" >&2
    _pilot_fail 1 rank
    ;;
esac
export {RANK}
"""


_SESSIONS = """\
# Open MPI 4 removes the folder of all its sessions when the last one ends, at times under the feet of the next one.
[ -z "$OMPI_MCA_orte_top_session_dir" ] || mkdir -p "$OMPI_MCA_orte_top_session_dir/kept-by-pilot" 2>/dev/null
"""

_BINDING = """\
if command -v taskset >/dev/null; then
    taskset -cp "$_pilot_cores" $$ >/dev/null || _pilot_fail 1 binding
else
    echo "rank $PILOT_RANK is not bound to its cores $_pilot_cores: there is no taskset on $(uname -n)" >&2
fi
"""

_GPUS = f"""\
[ -z "$_pilot_gpus" ] || export {" ".join(f'{name}="$_pilot_gpus"' for name in GPU_VARIABLES)}
"""


def _streams(what: RankScript) -> str:
    text = f"if [ ${RANK} = 0 ]; then exec <{quote(what.stdin or '/dev/null')}; else exec </dev/null; fi\n"
    if what.stdout or what.stderr:
        text += _MAKE_FILE
    if what.stdout:
        text += f"_pilot_make {quote(what.stdout)}\nexec >>{quote(what.stdout)}\n"
    if what.stderr and what.stderr == what.stdout:
        return text + "exec 2>&1\n"
    if what.stderr:
        text += f"_pilot_make {quote(what.stderr)}\nexec 2>>{quote(what.stderr)}\n"
    return text


_MAKE_FILE = """\
_pilot_make() {
    mkdir -p "${1%/*}" && (umask 077 && : >"$1") || _pilot_fail 1 output
}
"""


def _pre_exec(lines: Sequence[str]) -> str:
    body = "\n".join(lines)
    return f"""{_FIRST_COME}    set -e
    {{
{body}
    }} </dev/null 9>&-
{_OTHERS}"""


_FIRST_COME = """\
# pre_exec runs once on each node. Who comes first makes the folder; the others wait for the lock or, on file systems
# that know none, for the file with its exit code.
_pilot_state=$_pilot_launch/node.$_pilot_node
_pilot_variables() { env | sed -n 's/^\\([A-Za-z_][A-Za-z0-9_]*\\)=.*/\\1/p'; }
exec 9>>"$_pilot_state.lock"
flock 9 2>/dev/null
if mkdir "$_pilot_state.first" 2>/dev/null; then
    _pilot_before=$(_pilot_variables)
    for _pilot_name in $_pilot_before; do eval "_was_$_pilot_name=\\$$_pilot_name"; done
    trap '_pilot_code=$?; echo $_pilot_code >"$_pilot_state.code"; _pilot_fail $_pilot_code pre_exec' EXIT
"""

_OTHERS = """\
    set +e
    trap - EXIT
    # What it changed is for the others on this node, but not what the launcher told this rank.
    _pilot_changed=' '
    for _pilot_name in $(_pilot_variables); do
        eval "[ \\"\\${_was_$_pilot_name+x}\\$$_pilot_name\\" = \\"x\\$_was_$_pilot_name\\" ]" ||
            _pilot_changed="$_pilot_changed$_pilot_name "
    done
    {
        for _pilot_name in $_pilot_before; do
            eval "[ \\"\\${$_pilot_name+x}\\" ]" || echo "unset $_pilot_name"
        done
        for _pilot_name in c d f l n s v; do
            echo "ulimit -S -$_pilot_name $(ulimit -S -$_pilot_name) 2>/dev/null || :"
        done
        echo "umask $(umask)"
        echo "cd '$(pwd | sed "s/'/'\\\\\\\\''/g")'"
        (
            for _pilot_name in $(_pilot_variables); do
                case $_pilot_changed in
                *" $_pilot_name "*) ;;
                *) command unset "$_pilot_name" ;;
                esac
            done
            export -p
        )
    } >"$_pilot_state.exports" 2>/dev/null
    echo 0 >"$_pilot_state.new"
    mv "$_pilot_state.new" "$_pilot_state.code"
else
    until [ -s "$_pilot_state.code" ]; do sleep 0.1; done
    read -r _pilot_code <"$_pilot_state.code"
    [ "$_pilot_code" = 0 ] || exit "$_pilot_code"
    . "$_pilot_state.exports"
fi
exec 9>&-
"""

_RUN = """\
# The program gets signals by itself; this shell waits for its end.
trap : HUP INT QUIT TERM USR1 USR2
"$@"
_pilot_code=$?
[ $_pilot_code = 0 ] || _pilot_fail $_pilot_code exit
"""

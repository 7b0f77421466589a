"""What :class:`ProcessQueue` runs on a machine: programs for any POSIX shell, on Linux with ``setsid`` and nothing more.

The invariant: a process counts as the job's only if its number and its start time are those of the id.
"""

from __future__ import annotations

_FIELDS = """
fields() {  # of a process: what stands after its name in /proc/<pid>/stat
    { IFS= read -r line <"/proc/$1/stat"; } 2>/dev/null || return 1
    set -f; set -- ${line##*) }; set +f
    state=$1 parent=$2 session=$4 start=${20}
}
"""

KEEPER = (
    _FIELDS
    + """
[ -x "$1" ] || { echo "$1 is not executable" >&2; exit 126; }
exec 3>&1 >"$2" 2>"$3" || exit 1
trap : HUP INT QUIT USR1 USR2 TERM
fields $$
echo "$$.$start" >&3
exec 3>&-
"$1"
echo $? >exit_code
"""
)
"""Leads the job's session, runs its script, and outlives it to keep its exit code. Its traps are not inherited."""

SUBMIT = """
cd -- "$2" && rm -f exit_code || exit 1
job=$(setsid setsid /bin/sh -c "$1" keeper "$3" "$4" "$5" </dev/null)
[ -n "$job" ] && echo "$job"
"""
"""Arguments: the keeper, folder, script, output, error. Prints the job's number and start time.

The first ``setsid`` makes a leader of a process group, from which the second one therefore forks: so the keeper is nobody's
child without ``&``, which would make the job ignore SIGINT and SIGQUIT. The keeper closes what we read from when it has
told its number.
"""

STATES = (
    _FIELDS
    + """
while IFS= read -r job; do
    number=${job%%:*} code=
    if fields "${number%%.*}" && [ "$start" = "${number#*.}" ] && [ "$state" != Z ]; then
        echo running
    else
        { IFS= read -r code <"${job#*:}/exit_code"; } 2>/dev/null
        echo "ended $code"
    fi
done
"""
)
"""Reads jobs, a line each, and prints for each ``running`` or ``ended``, with the exit code if it is known."""

CANCEL = (
    _FIELDS
    + """
known=' ' sessions=' '
learn() {  # a process that belongs to the jobs
    known="$known$1.$2 "
    [ "$1" = "$3" ] && sessions="$sessions$1 "
    grown=y
}
look() {  # which processes belong to the jobs now
    old=$known known=' ' rows=
    for folder in /proc/[0-9]*; do
        fields "${folder#/proc/}" && [ "$state" != Z ] || continue
        rows="$rows ${folder#/proc/} $parent $session $start"
        case $old in *" ${folder#/proc/}.$start "*) learn "${folder#/proc/}" "$start" "$session" ;; esac
    done
    grown=y
    while [ -n "$grown" ]; do
        grown=
        set -- $rows
        while [ $# -gt 0 ]; do
            case $known in
            *" $1.$4 "*) ;;
            *" $2."*) learn "$1" "$4" "$3" ;;
            *) case $sessions in *" $3 "*) learn "$1" "$4" "$3" ;; esac ;;
            esac
            shift 4
        done
    done
    [ "$known" != ' ' ]
}
pause() { sleep 0.2 2>/dev/null || sleep 1; }

while IFS= read -r job; do
    number=${job%%:*}
    fields "${number%%.*}" && [ "$start" = "${number#*.}" ] && [ "$state" != Z ] || continue
    learn "${number%%.*}" "$start" "$session"
done
look || exit 0
for leader in $sessions; do kill -s TERM -- "-$leader" 2>/dev/null; done

left=$1
while look; do
    [ "$left" -gt 0 ] || break
    left=$((left - 1))
    pause
done
left=50
while look; do
    [ "$left" -gt 0 ] || { echo "these processes do not end:$known" >&2; exit 1; }
    left=$((left - 1))
    for process in $known; do kill -s KILL "${process%%.*}" 2>/dev/null; done
    pause
done
"""
)
"""Argument: fifths of a second between SIGTERM and SIGKILL. Reads jobs, a line each, and ends when all of each is gone.

SIGTERM goes to the group that the keeper leads: the agent is in it, and ends its units. What is left after that, also in
other groups and sessions, is a descendant of what we have seen, or shares a session with it.
"""

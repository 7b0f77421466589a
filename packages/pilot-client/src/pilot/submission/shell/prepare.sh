# Makes a pilot's sandbox, and finds a folder for the agent's bundle: below the home directory, else below the working
# directory. Read from standard input, after lines that set work, pilot, bundle, need_kib, sandbox_kib, unused_days, and as
# positional parameters pairs of a tool for checksums and what it makes of the bundle.
# Tells one fact a line, after a mark that no greeting of a login shell has.

LC_ALL=C
export LC_ALL
umask 077
newline='
'

tell() { printf 'pilot-staging: %s %s\n' "$1" "$2"; }

fail() {
    tell failed "$1 $2"
    exit 1
}

# room FOLDER KIB: whether so much is free there, as far as can be told.
room() {
    free=$(df -Pk "$1" 2>/dev/null | {
        read -r _
        read -r _ _ _ kib _
        printf %s "$kib"
    })
    case $free in
    '' | *[!0-9]*) return 0 ;; # no such command, or a name with blanks: the writing will tell
    esac
    why="disk full: $free KiB are free and $2 KiB needed"
    [ "$free" -ge "$2" ]
}

# own FOLDER: whether it is ours alone, as only an owner can change the mode.
own() {
    why=$(mkdir -p "$1" 2>&1 && chmod 700 "$1" 2>&1)
}

# takes FOLDER KIB: whether so much can be written there. Tried, because `df` knows no quotas.
takes() {
    why=$(dd if=/dev/zero of="$1/.agent-$pilot" bs=1024 count="$2" 2>&1)
    set -- $? "$1"
    why=${why%%"$newline"*}
    rm -f "$2/.agent-$pilot"
    return "$1"
}

# is_bundle FILE: whether it holds the bundle's bytes.
is_bundle() {
    [ -f "$1" ] || return 1
    case $($tool <"$1" 2>/dev/null) in
    *"$sum"*) return 0 ;;
    esac
    return 1
}

case $work in
/*) ;;
'~'*) fail user "${work%%/*}" ;;
*) work=${HOME:?}/$work ;;
esac
case $work in
*"$newline"*) fail folder "it has a line break in its name" ;;
esac
work=${work%/}
tell folder "${work:-/}"

tool=
while [ $# -ge 2 ] && [ -z "$tool" ]; do
    if command -v "${1%% *}" >/dev/null 2>&1; then
        tool=$1
        sum=$2
    fi
    shift 2
done
[ -n "$tool" ] || fail tool ""
tell tool "$tool"

why=$(mkdir -p "$work/" 2>&1) || fail folder "$why"
room "$work/" "$sandbox_kib" || fail folder "$why"
[ ! -e "$work/$pilot" ] || fail folder "it has a folder $pilot already"
why=$(mkdir "$work/$pilot" 2>&1) || fail folder "$why"
tell sandbox "$work/$pilot"

reasons=
place=
there=no
for folder in "${HOME:+$HOME/.pilot}" "$work/.pilot"; do
    [ -n "$folder" ] || continue
    if ! own "$folder"; then
        reasons="$reasons$why; "
    elif is_bundle "$folder/$bundle"; then
        place=$folder
        there=yes
        break
    elif takes "$folder" "$need_kib"; then
        place=$folder
        break
    else
        reasons="$reasons$why; "
    fi
done
if [ -z "$place" ]; then
    rmdir "$work/$pilot"
    fail place "${reasons%??}"
fi

[ $there = no ] || touch "$place/$bundle"* # with what agents have made of it
find "$place" -name 'agent-*.pyz*' -mtime "+$unused_days" -exec rm -f {} \; 2>/dev/null
find "$place" -name '.agent-*' -mtime +1 -exec rm -f {} \; 2>/dev/null # what interrupted stagings left
tell bundle "$place/$bundle"
tell there $there

# Removes the secrets of a pilot, and its sandbox when nothing of value is in it. Read from standard input, after lines that
# set sandbox, settings, script, and logs as positional parameters.

LC_ALL=C
export LC_ALL

cd "$sandbox" 2>/dev/null || exit 0 # it is gone, and all in it
rm -f "$settings" || exit 1

for log in "$@"; do
    [ -s "$log" ] || rm -f "$log"
done
for file in * .[!.]* ..?*; do
    if [ -e "$file" ] || [ -L "$file" ]; then
        [ "$file" = "$script" ] || exit 0
    fi
done
rm -f "$script"
cd / && rmdir "$sandbox"

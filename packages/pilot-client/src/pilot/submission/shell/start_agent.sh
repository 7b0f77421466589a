# Find an interpreter among the positional parameters, and become the agent.

cd /

pilot_question="import sys; print('%d.%d.%d %s' % (sys.version_info[:3] + (sys.executable,))); import zlib; sys.exit(sys.version_info[:2] < $pilot_least)"
pilot_probe() { "$1" -E -s -c "$pilot_question" </dev/null 2>/dev/null; }
pilot_python=
pilot_tried=
for pilot_candidate in "$@"; do
    command -v "$pilot_candidate" >/dev/null 2>&1 || continue
    if pilot_found=$(pilot_probe "$pilot_candidate"); then
        pilot_python=$pilot_candidate
        break
    fi
    pilot_found=${pilot_found%% *}
    pilot_tried="$pilot_tried${pilot_tried:+, }$pilot_candidate (${pilot_found:-does not run})"
done
if [ -z "$pilot_python" ]; then
    printf 'pilot: no Python %s or newer, with zlib, on %s; tried: %s; found: %s\n' \
        "$pilot_least_shown" "$(uname -n)" "$*" "${pilot_tried:-none of them}" >&2
    echo "pilot: name one with the key python of the pilot's description, or load one in its setup" >&2
    exit 96
fi

# What a search found may be a script that looks for the interpreter, for some 0.2 s each time (pyenv, asdf). A user's own
# choice stays: its script may be there to set something.
pilot_real=${pilot_found#* }
if [ "$pilot_is_found" = yes ] && [ "$pilot_real" != "$(command -v "$pilot_python")" ]; then
    [ "$(pilot_probe "$pilot_real")" != "$pilot_found" ] || pilot_python=$pilot_real
fi

# Settings that are gone from their folder are the agent's to explain: it knows whether a batch system runs it again.
for pilot_needed in "$pilot_bundle" "${pilot_settings%/*}"; do
    if [ ! -r "$pilot_needed" ]; then
        printf 'pilot: %s cannot be read on %s: is its file system mounted there?\n' \
            "$pilot_needed" "$(uname -n)" >&2
        exit 97
    fi
done

exec "$pilot_python" -I "$pilot_bundle" --config "$pilot_settings"

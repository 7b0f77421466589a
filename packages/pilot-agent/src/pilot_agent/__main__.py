"""``python -m pilot_agent``, and ``__main__.py`` of the agent as one zip file: any process of an agent begins here.

Any Python can read this file, also one that is too old for the rest, so that it can say so; hence the old syntax.
"""

import sys

OLDEST = (3, 9)
TOO_OLD = 6
"""The exit code; what stands in `exit_codes` cannot be imported by what is too old."""

if __name__ == "__main__":
    if sys.version_info < OLDEST:
        oldest, this = (".".join(map(str, numbers)) for numbers in (OLDEST, sys.version_info[:3]))
        sys.stderr.write(
            "pilot-agent: Python " + oldest + " or newer is needed, this is " + this
            + " (" + sys.executable + "); set 'python' in the pilot's description\n"
        )  # fmt: skip
        sys.exit(TOO_OLD)
    if sys.argv[1:2] == ["node"]:
        from pilot_agent.node.warden import main
    else:
        from pilot_agent.cli import main

    raise SystemExit(main())

"""``python -m pilot_agent``: the agent of a pilot."""

from .cli import main

if __name__ == "__main__":
    raise SystemExit(main())

"""``python -m pilot_data`` is the command ``pilot-data``."""

from __future__ import annotations

from pilot_data.cli.main import main

if __name__ == "__main__":
    main()

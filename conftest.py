"""What holds for all tests of the repository. Not seen by mypy, for which integration/conftest.py has this name."""

pytest_plugins = ["ci_skips", "side_by_side"]

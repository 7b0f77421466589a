"""The agent: the program that runs inside a pilot and executes compute units on what the pilot holds."""

__version__ = "0.1.0"

"""The node executor: a small process that starts, watches and ends compute units for the head of the agent.

The executor itself (`executor`, `runner`, `lanes`, ...) imports the standard library only and starts in tens of
milliseconds; the head uses `launcher` and `frames` to start one and to talk to it.
"""

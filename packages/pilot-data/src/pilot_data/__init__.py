"""Pilot-Data: storage allocations, data units and their replicas. This version holds the package only."""

__version__ = "0.1.0"

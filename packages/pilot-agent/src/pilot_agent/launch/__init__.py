"""The command line of a unit on its placement, one module per launcher. Pure."""

"""Connections by the user's own OpenSSH: whatever login its program ``ssh`` can do without asking."""

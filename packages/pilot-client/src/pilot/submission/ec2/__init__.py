"""Pilots on instances of Amazon EC2."""

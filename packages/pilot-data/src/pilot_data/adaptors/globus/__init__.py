"""Collections of Globus. A collection copies to another one by itself; this machine only says what, and watches."""

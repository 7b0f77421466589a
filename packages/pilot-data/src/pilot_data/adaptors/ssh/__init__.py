"""Folders of hosts that are reached by SSH, through a pipelined SFTP of our own over paramiko or the user's OpenSSH.

Two clients carry the connection: ``builtin`` (paramiko) and ``openssh`` (the program ``ssh``). Both are a `Connection`
that opens `Channel` objects, and nothing outside their folders knows which one it is; `clients` chooses.
"""

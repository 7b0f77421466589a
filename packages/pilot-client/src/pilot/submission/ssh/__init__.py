"""Machines that SSH reaches: logins, commands, tunnels, all by the user's own OpenSSH client."""

"""Folders of hosts that are reached by SSH, through paramiko's encryption and a pipelined SFTP of our own."""

"""Which client carries a connection: paramiko, which is built in, or the user's own OpenSSH.

Each is imported when it is first used: paramiko takes longer to import than OpenSSH to start.
"""

from __future__ import annotations

from pilot_data.config import DataConfig
from pilot_data.locations import Location
from pilot_data.storage import Access

from .connection import Login

OPENSSH = "openssh"


def login_of(place: Location, access: Access) -> Login:
    """Return how a place is reached, as the user's configuration of OpenSSH says it.

    Args:
        place: Names the host; perhaps user and port, too.
        access: Names the client, and perhaps a key.

    Raises:
        LoginError: The configuration cannot be understood, or the client is missing.
    """
    config = DataConfig.from_environment()
    if access.ssh_client == OPENSSH:
        from .openssh.login import found_login

        return found_login(place, access.userkey, config)
    from .builtin.ssh_config import SshSettings

    return SshSettings(config).login(place.host, place.user, place.port, access.userkey)

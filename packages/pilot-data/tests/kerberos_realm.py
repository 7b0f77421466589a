"""A real Kerberos realm for tests: a KDC of its own on a free port, in a folder of its own; no password is known to anybody."""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ports import free_port

REALM = "PILOT.TEST"
_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"])
_CLIENTS = """\
[libdefaults]
default_realm = {realm}
dns_lookup_kdc = false
dns_canonicalize_hostname = false
rdns = false
[realms]
{realm} = {{
  kdc = 127.0.0.1:{port}
}}
"""
_KDC = """\
[kdcdefaults]
kdc_listen = 127.0.0.1:{port}
kdc_tcp_listen = 127.0.0.1:{port}
[realms]
{realm} = {{
  database_name = {folder}/principal
  key_stash_file = {folder}/stash
}}
"""


class Realm:
    """A realm with this user and the host 127.0.0.1.

    Args:
        folder: Its own.

    Attributes:
        variables: What makes the programs of Kerberos find it.
    """

    def __init__(self, folder: Path) -> None:
        self.variables = {
            "KRB5_CONFIG": str(folder / "krb5.conf"),
            "KRB5_KDC_PROFILE": str(folder / "kdc.conf"),
            "KRB5_KTNAME": str(folder / "host.keytab"),
            "KRB5CCNAME": f"FILE:{folder}/tickets",
        }
        self._keytab = folder / "user.keytab"
        port = free_port()
        (folder / "krb5.conf").write_text(_CLIENTS.format(realm=REALM, port=port))
        (folder / "kdc.conf").write_text(_KDC.format(realm=REALM, port=port, folder=folder))
        self._do("kdb5_util", "create", "-r", REALM, "-s", "-P", os.urandom(16).hex())
        for name, keytab in (("host/127.0.0.1", folder / "host.keytab"), (getpass.getuser(), self._keytab)):
            self._do("kadmin.local", "-r", REALM, "-q", f"addprinc -randkey {name}")
            self._do("kadmin.local", "-r", REALM, "-q", f"ktadd -k {keytab} {name}")

    def log_in(self) -> None:
        """Get a ticket for this user."""
        self._do("kinit", "-k", "-t", str(self._keytab), getpass.getuser())

    def log_out(self) -> None:
        """Throw the ticket away."""
        self._do("kdestroy")

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Run the KDC for the length of a block."""
        command = [_program("krb5kdc"), "-n"]
        with subprocess.Popen(
            command, env=self._environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as kdc:
            try:
                assert kdc.stdout is not None
                assert b"starting" in kdc.stdout.readline()
                yield
            finally:
                kdc.kill()

    @property
    def _environment(self) -> dict[str, str]:
        return {**os.environ, **self.variables}

    def _do(self, name: str, *arguments: str) -> None:
        subprocess.run([_program(name), *arguments], env=self._environment, check=True, capture_output=True)


def _program(name: str) -> str:
    found = shutil.which(name, path=_PATH)
    if found is None:
        pytest.skip(f"no server: {name} is not on this machine (krb5-kdc, krb5-admin-server, krb5-user)")
    return found

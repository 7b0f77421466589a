"""What ssh says, as OpenSSH 7.4 to 9.9 write it, and what is made of it."""

from __future__ import annotations

import pytest

from pilot.submission.ssh.refusals import WORDS_SHOWN, refusal

CHANGED = """\
@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@
@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @
@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@
IT IS POSSIBLE THAT SOMEONE IS DOING SOMETHING NASTY!
Host key verification failed.
"""


@pytest.mark.parametrize(
    ("words", "advice", "transient"),
    [
        (CHANGED, "ssh-keygen -R cluster", False),
        ("Host key verification failed.\r\n", r"log in once by hand \(ssh ada@cluster\)", False),
        (
            "No ED25519 host key is known for cluster and you have requested strict checking.",
            "log in once by hand",
            False,
        ),
        (
            "ada@cluster: Permission denied (publickey,gssapi-keyex,gssapi-with-mic,password).",
            "ssh-add.*kinit",
            False,
        ),
        (
            "Received disconnect from 192.0.2.1 port 22:2: Too many authentication failures",
            "IdentitiesOnly yes",
            False,
        ),
        (
            "ssh: Could not resolve hostname cluster: Name or service not known",
            "there is no such name",
            False,
        ),
        (
            "ssh: Could not resolve hostname cluster: Temporary failure in name resolution",
            "could not be looked up just now",
            True,
        ),
        ("ssh: connect to host cluster port 22: Connection refused", "nothing listens there", True),
        ("ssh: connect to host cluster port 22: Connection timed out", "it does not answer", True),
        ("Connection timed out during banner exchange", "it does not answer", True),
        ("ssh: connect to host cluster port 22: No route to host", "the network does not lead there", True),
        (
            "ssh: connect to host cluster port 22: Network is unreachable",
            "the network does not lead there",
            True,
        ),
        (
            "Unable to negotiate with 192.0.2.1 port 22: no matching key exchange method found. Their offer: x",
            "KexAlgorithms",
            False,
        ),
        (
            "Unable to negotiate with 192.0.2.1 port 22: no matching host key type found. Their offer: ssh-rsa",
            "HostKeyAlgorithms",
            False,
        ),
        (
            "kex_exchange_identification: read: Connection reset by peer\r\nConnection reset by 192.0.2.1 port 22",
            "MaxStartups",
            True,
        ),
        ("ssh_exchange_identification: Connection closed by remote host", "MaxStartups", True),
        (
            "mux_client_forward: forwarding request failed: remote port forwarding failed for listen path /tmp/p/s",
            "AllowStreamLocalForwarding yes",
            False,
        ),
        (
            "channel 2: open failed: administratively prohibited: open failed",
            "AllowStreamLocalForwarding",
            False,
        ),
        (
            "mux_client_request_session: session request failed: Session open refused by peer",
            "MaxSessions",
            True,
        ),
        (
            "/home/ada/.ssh/config: line 3: Bad configuration option: nosuch",
            "configuration on this machine",
            False,
        ),
        ("Bad owner or permissions on /home/ada/.ssh/config", "configuration on this machine", False),
        ("This account is currently not available.", "ssh://user@cluster/", False),
        ("", "without a word", True),
        ("something new", "try by hand: ssh -o BatchMode=yes ada@cluster true", False),
    ],
)
def test_refusals(words: str, advice: str, transient: bool) -> None:
    error = refusal("ada@cluster", words)
    assert error.transient is transient
    with pytest.raises(type(error), match=advice):
        raise error
    assert str(error).startswith("ada@cluster is not reached: ")


def test_what_a_jump_host_refuses_counts_before_what_follows_from_it() -> None:
    error = refusal(
        "cluster",
        "ada@jump: Permission denied (publickey).\r\n"
        "kex_exchange_identification: Connection closed by remote host\r\n"
        "Connection closed by UNKNOWN port 65535",
    )
    assert "does not let us in" in str(error)
    assert not error.transient


def test_the_words_of_ssh_stay_and_are_shown_on_one_line() -> None:
    assert "(ssh: one / two)" in str(refusal("cluster", "one\r\n\r\ntwo\r\n"))
    assert "\n" not in str(refusal("cluster", CHANGED))


def test_a_flood_of_words_is_shown_by_its_end() -> None:
    message = str(refusal("cluster", "x" * 100_000 + " the end"))
    assert message.endswith("the end)")
    assert len(message) < WORDS_SHOWN + 200


def test_braces_in_the_words_are_no_trouble() -> None:
    assert "{host} {0}" in str(refusal("cluster", "strange {host} {0}"))

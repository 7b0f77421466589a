"""Globus Auth, as far as logins need it."""

from __future__ import annotations

import base64
import hashlib
import time
import uuid
from collections.abc import Mapping
from typing import Any

from .faults import Refusal

SCOPE = "urn:globus:auth:scope:transfer.api.globus.org:all"


class Auth:
    """Tokens that were given, and who may have more.

    Attributes:
        lifetime_s: Of tokens that are given from now on.
        applications: Secrets by client id.
        tokens: When each access token ends.
        refresh_tokens: Those that hold.
        codes: What a login page has shown, with the challenge of who asked for it.
        given: How many tokens were given, by kind of grant.
    """

    def __init__(self) -> None:
        self.lifetime_s = 172_800
        self.applications = {"emulated-application": "emulated-secret"}
        self.tokens: dict[str, float] = {}
        self.refresh_tokens: set[str] = set()
        self.codes: dict[str, str] = {}
        self.given: list[str] = []

    def authorize(self, challenge: str) -> str:
        """Return the code that a person sees who has logged in at the page."""
        code = uuid.uuid4().hex
        self.codes[code] = challenge
        return code

    def expire(self) -> None:
        """Let no access token hold any more."""
        self.tokens.clear()

    def revoke(self) -> None:
        """Let no token hold any more."""
        self.tokens.clear()
        self.refresh_tokens.clear()

    def check(self, header: str) -> None:
        """Refuse whoever has no token that holds."""
        if self.tokens.get(header.removeprefix("Bearer "), 0) < time.time():
            raise Refusal(401, "AuthenticationFailed", "Token is not active")

    def token(self, form: Mapping[str, str], header: str) -> dict[str, Any]:
        """Answer ``/v2/oauth2/token``."""
        grant = form["grant_type"]
        refresh = self._granted(grant, form, header)
        self.given.append(grant)
        access = f"emulated-access-{uuid.uuid4().hex}"
        self.tokens[access] = time.time() + self.lifetime_s
        answer = {
            "access_token": access,
            "scope": SCOPE,
            "expires_in": self.lifetime_s,
            "token_type": "Bearer",
            "resource_server": "transfer.api.globus.org",
            "other_tokens": [],
        }
        if refresh:
            self.refresh_tokens.add(refresh)
            answer["refresh_token"] = refresh
        return answer

    def _granted(self, grant: str, form: Mapping[str, str], header: str) -> str:
        if grant == "client_credentials":
            given = base64.b64decode(header.removeprefix("Basic ")).decode().partition(":")
            if self.applications.get(given[0]) != given[2]:
                raise Refusal(401, "invalid_client", "no", error="invalid_client")
            return ""
        if grant == "refresh_token":
            if form["refresh_token"] not in self.refresh_tokens:
                raise Refusal(400, "invalid_grant", "no", error="invalid_grant")
            return form["refresh_token"]
        digest = hashlib.sha256(form["code_verifier"].encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        if self.codes.pop(form["code"], None) != challenge:
            raise Refusal(401, "invalid_grant", "no", error="invalid_grant")
        return f"emulated-refresh-{uuid.uuid4().hex}"

"""Who Globus is asked as: persons and applications, and what is kept of their logins."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from globus_emulator.server import Emulator
from globus_fixture import THERE, WithGlobus, storage_at
from pilot_data.adaptors.globus.config import CLIENT_ID, CLIENT_SECRET, settings
from pilot_data.adaptors.globus.login import login, main
from pilot_data.errors import LoginError
from pilot_data.job import Job
from pilot_data.testing.sample_files import write
from pilot_data.testing.storage_fixture import landed
from pilot_protocol.errors import DescriptionError


class Person:
    """Somebody at the login page."""

    def __init__(self, globus: Emulator) -> None:
        self._globus = globus
        self.asked: dict[str, list[str]] = {}

    def look(self, text: str) -> None:
        page = text.splitlines()[-1]
        self.asked = parse_qs(urlsplit(page).query)

    def type(self) -> str:
        return self._globus.auth.authorize(self.asked["code_challenge"][0]) + "\n"


@pytest.fixture
def person(globus: Emulator, monkeypatch: pytest.MonkeyPatch) -> Person:
    monkeypatch.delenv(CLIENT_SECRET)
    return Person(globus)


def kept(profile: str = "default") -> Path:
    return Path(settings().state_folder, f"{profile}.json")


def use(profile: str = "") -> None:
    storage = storage_at(path="/", profile=profile)
    list(storage.list())
    storage.close()


class TestPersons(WithGlobus):
    def test_a_person_logs_in_and_is_known_from_then_on(self, globus: Emulator, person: Person) -> None:
        path = login(person.look, person.type)
        assert path == str(kept())
        assert person.asked["access_type"] == ["offline"]
        use()
        use()
        assert globus.auth.given == ["authorization_code"]

    def test_the_login_is_for_its_owner_alone(self, person: Person) -> None:
        path = login(person.look, person.type, profile="work")
        assert os.stat(path).st_mode & 0o777 == 0o600
        assert os.stat(os.path.dirname(path)).st_mode & 0o777 == 0o700
        assert os.listdir(os.path.dirname(path)) == ["work.json"]

    def test_an_old_token_is_renewed_and_the_new_one_kept(self, globus: Emulator, person: Person) -> None:
        globus.auth.lifetime_s = 1
        path = login(person.look, person.type)
        before = json.loads(Path(path).read_text())
        globus.auth.lifetime_s = 1000
        use()
        after = json.loads(Path(path).read_text())
        assert after["access_token"] != before["access_token"]
        assert after["refresh_token"] == before["refresh_token"]
        assert os.stat(path).st_mode & 0o777 == 0o600
        use()
        assert globus.auth.given == ["authorization_code", "refresh_token"]

    def test_a_token_that_ends_early_is_renewed(self, globus: Emulator, person: Person) -> None:
        login(person.look, person.type)
        globus.auth.expire()
        use()
        assert globus.auth.given == ["authorization_code", "refresh_token"]

    def test_a_login_that_was_taken_back_is_told(self, globus: Emulator, person: Person) -> None:
        path = login(person.look, person.type)
        globus.auth.revoke()
        with pytest.raises(LoginError, match=r"does not accept the login.*pilot-data login globus") as caught:
            use()
        secrets = json.loads(Path(path).read_text())
        assert not any(secrets[name] in str(caught.value) for name in ("access_token", "refresh_token"))

    def test_a_wrong_code_is_told_and_keeps_nothing(self, person: Person) -> None:
        with pytest.raises(LoginError, match="cannot log in"):
            login(person.look, lambda: "wrong")
        assert not kept().exists()

    def test_consents_are_asked_for(self, person: Person) -> None:
        scope = (
            "urn:globus:auth:scope:transfer.api.globus.org:all[*https://auth.globus.org/scopes/x/data_access]"
        )
        login(person.look, person.type, collections=[THERE], scopes=[scope])
        (asked,) = person.asked["scope"]
        assert f"https://auth.globus.org/scopes/{THERE}/data_access" in asked
        assert "scopes/x/data_access" in asked
        with pytest.raises(LoginError, match="copy it from the error"):
            login(person.look, person.type, scopes=["[["])

    def test_without_an_application_it_says_what_to_register(
        self, person: Person, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv(CLIENT_ID)
        with pytest.raises(LoginError, match=f"{CLIENT_ID} is not set; register"):
            login(person.look, person.type)

    def test_nobody_has_logged_in(self, person: Person) -> None:
        with pytest.raises(LoginError, match="nobody has logged in to Globus as 'work'"):
            use("work")

    def test_the_command_says_what_is_wrong(
        self, person: Person, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.delenv(CLIENT_ID)
        assert main(["--profile", "work"]) == 1
        assert CLIENT_ID in capsys.readouterr().err

    def test_the_command_logs_in(
        self, person: Person, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def answer(_prompt: str) -> str:
            person.look(capsys.readouterr().out.strip())
            return person.type()

        monkeypatch.setattr("builtins.input", answer)
        assert main(["--profile", "work"]) == 0
        assert str(kept("work")) in capsys.readouterr().out
        use("work")


class TestApplications(WithGlobus):
    def test_a_token_serves_several_programs(self, globus: Emulator) -> None:
        use()
        use()
        assert globus.auth.given == ["client_credentials"]
        assert os.stat(kept()).st_mode & 0o777 == 0o600
        globus.auth.expire()
        use()
        assert globus.auth.given == ["client_credentials"] * 2

    def test_credentials_come_from_a_private_file_of_the_profile(
        self, globus: Emulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv(CLIENT_ID)
        monkeypatch.delenv(CLIENT_SECRET)
        path = Path(settings().config_folder, "robot.json")
        path.parent.mkdir(parents=True)
        path.write_text('{"client_id": "application", "client_secret": "secret-of-application"}')
        path.chmod(0o640)
        with pytest.raises(LoginError, match=r"has mode 640.*chmod 600"):
            use("robot")
        path.chmod(0o600)
        use("robot")
        assert globus.auth.given == ["client_credentials"]
        path.write_text('{"client_id": "application"}')
        with pytest.raises(LoginError, match="lacks client_id or client_secret"):
            use("robot")
        path.write_text("[")
        with pytest.raises(LoginError, match="holds no JSON object"):
            use("robot")

    def test_a_wrong_secret_is_told_and_not_shown(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(CLIENT_SECRET, "another-secret")
        with pytest.raises(LoginError, match="does not accept the login") as caught:
            use()
        assert "another-secret" not in str(caught.value)

    def test_a_secret_without_an_id_is_told(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv(CLIENT_ID)
        with pytest.raises(LoginError, match="set both"):
            use()

    @pytest.mark.parametrize("profile", ["../other", "a/b", ".hidden", "x\n"])
    def test_a_profile_is_no_path(self, profile: str) -> None:
        with pytest.raises(DescriptionError, match="is no name"):
            use(profile)

    def test_secrets_are_in_no_log_and_nothing_that_is_shown(
        self, globus: Emulator, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        storage = storage_at()
        (tmp_path / "here").mkdir()
        item = write(str(tmp_path / "here"), "x", b"x")
        landed(storage.put_many(str(tmp_path / "here"), [item], Job()))
        shown = caplog.text + repr(vars(storage)) + repr(settings()) + "".join(globus.calls)
        assert "POST" in shown
        assert not [secret for secret in ("secret-of-application", *globus.auth.tokens) if secret in shown]


def test_the_sdk_is_loaded_when_a_collection_is_first_used() -> None:
    script = (
        "import sys; from pilot_data.registry import open_storage; from pilot_data.locations import parse;"
        "open_storage(parse('file:///tmp')); assert 'globus_sdk' not in sys.modules;"
        f"open_storage(parse('go://{THERE}/tmp')); assert 'requests' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)

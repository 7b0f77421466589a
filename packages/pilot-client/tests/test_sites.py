"""Settings of sites: what a description becomes, and what is refused."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilot.config import ClientConfig
from pilot.pilot_compute_service import PilotComputeService
from pilot.sites import TRUSTED_KEYS, SiteFile, expand, read_site_file, read_site_files
from pilot_protocol.compute_descriptions import PILOT_SCHEMA, PilotComputeDescription, validate_pilot_compute
from pilot_protocol.errors import DescriptionError, UnknownKeyError

CLUSTER = {
    "service_url": "slurm+ssh://login.cluster",
    "queue": "normal",
    "walltime": 30,
    "setup": ["module load x"],
}

Write = Callable[..., Path]


def files(*tables: dict[str, Any]) -> list[SiteFile]:
    """Files of which each has one site, ``c``."""
    return [SiteFile(f"/f{number}.toml", {"c": table}) for number, table in enumerate(tables)]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a file with sites."""

    def call(text: str | bytes, mode: int = 0o600) -> Path:
        path = tmp_path / "sites.toml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        path.chmod(mode)
        return path

    return call


@pytest.mark.parametrize(
    "description",
    [
        {"service_url": "fork://localhost"},
        {"service_url": "site:c"},
        {"service_url": 3},
        {},
        None,
        "site://c",
    ],
)
def test_what_names_no_site_stays_as_it_is(description: Any) -> None:
    assert expand(description, []) is description


def test_a_site_stands_for_its_settings() -> None:
    expanded = expand({"service_url": "site://c", "number_of_processes": 4}, files(CLUSTER))
    assert expanded == {**CLUSTER, "walltime": 30.0, "number_of_processes": 4}
    assert validate_pilot_compute(expanded)["service_url"] == "slurm+ssh://login.cluster"


def test_what_the_description_gives_wins_and_lists_are_replaced() -> None:
    mine = PilotComputeDescription(service_url="SITE://c", setup=["module load y"], walltime=5, queue="")
    expanded = expand(mine, files(CLUSTER))
    assert expanded == {**CLUSTER, "setup": ["module load y"], "walltime": 5}
    assert mine["service_url"] == "SITE://c"


def test_none_in_a_description_gives_nothing() -> None:
    assert expand({"service_url": "site://c", "queue": None}, files(CLUSTER))["queue"] == "normal"


@pytest.mark.parametrize(("old", "new"), PILOT_SCHEMA.renamed.items())
def test_an_old_name_of_a_key_wins_over_the_site_too(old: str, new: str) -> None:
    site = {
        "service_url": "slurm://c",
        "number_of_processes": 1,
        "walltime": 1,
        "processes_per_node": 1,
        "project": "1",
    }
    expanded = expand({"service_url": "site://c", old: "7"}, files(site))
    with pytest.warns(DeprecationWarning, match=f"use '{new}'"):
        assert str(validate_pilot_compute(expanded)[new]).startswith("7")


def test_variables_are_added_and_the_description_wins() -> None:
    site = {"service_url": "slurm://c", "environment": {"A": "site", "B": "site"}}
    expanded = expand({"service_url": "site://c", "environment": ["B=mine", "C=x=y"]}, files(site))
    assert expanded["environment"] == {"A": "site", "B": "mine", "C": "x=y"}


def test_the_later_file_wins_key_by_key() -> None:
    below = {**CLUSTER, "environment": {"A": "1", "B": "1"}}
    above = {"queue": "debug", "environment": ["B=2"]}
    expanded = expand({"service_url": "site://c"}, files(below, above))
    assert expanded == {**CLUSTER, "walltime": 30.0, "queue": "debug", "environment": {"A": "1", "B": "2"}}


@given(
    site=st.dictionaries(st.sampled_from(["queue", "project", "python"]), st.sampled_from("ab")),
    mine=st.dictionaries(
        st.sampled_from(["queue", "project", "region"]), st.sampled_from(["c", "d", "", None])
    ),
)
def test_each_key_comes_from_the_description_if_it_says_something(
    site: dict[str, str], mine: dict[str, str | None]
) -> None:
    expanded = expand({"service_url": "site://c", **mine}, files({"service_url": "slurm://c", **site}))
    for key in {*site, *mine}:
        assert expanded.get(key) == (mine.get(key) or site.get(key))


def test_an_unknown_site_is_told_with_the_known_ones_and_the_files() -> None:
    known = [SiteFile("/a", {"mycluster": {}, "other": {}}), SiteFile("/b", exists=False)]
    with pytest.raises(DescriptionError) as caught:
        expand({"service_url": "site://mycluste"}, known)
    assert str(caught.value) == (
        "there is no site 'mycluste'; did you mean 'mycluster'? known are mycluster, other; looked for "
        "[sites.mycluste] in: /a, /b (not there)"
    )
    with pytest.raises(DescriptionError, match=r"there is no site 'zz'; known are mycluster, other; looked"):
        expand({"service_url": "site://zz"}, known)
    with pytest.raises(DescriptionError, match="there is no site 'zz'; none is known; looked"):
        expand({"service_url": "site://zz"}, known[1:])


@pytest.mark.parametrize(
    "url", ["site://", "site://c/queue", "site://me@c", "site://c:22", "site://c?x=1", "site://ü"]
)
def test_a_site_is_named_by_its_name_only(url: str) -> None:
    with pytest.raises(DescriptionError, match="a queue goes into 'queue'") as caught:
        expand({"service_url": url}, files(CLUSTER))
    assert caught.value.given == url


def test_an_unknown_key_names_file_site_key_and_the_nearest_one() -> None:
    with pytest.raises(UnknownKeyError) as caught:
        expand({"service_url": "site://c"}, files({**CLUSTER, "quue": "x"}))
    assert "/f0.toml: site 'c': " in str(caught.value)
    assert "has no key 'quue'; did you mean 'queue'?" in str(caught.value)
    assert caught.value.key == "quue"


@pytest.mark.parametrize("key", ["access_key_id", "secret_access_key"])
def test_secrets_have_no_place_in_a_site(key: str) -> None:
    with pytest.raises(UnknownKeyError, match="AWS_PROFILE") as caught:
        expand({"service_url": "site://c"}, files({**CLUSTER, key: "s3cret"}))
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"walltime": -3}, "/f0.toml: site 'c': walltime is -3; a number above 0"),
        ({"tunnel": "yes"}, "/f0.toml: site 'c': tunnel is 'yes'; True or False is allowed"),
        (
            {"service_url": "slurn://c"},
            "/f0.toml: site 'c': service_url has the unknown scheme 'slurn'; did you mean",
        ),
        ({"service_url": "ssh://me:s3cret@c"}, "/f0.toml: site 'c': service_url holds a password"),
        (
            {"service_url": "site://other"},
            "/f0.toml: site 'c': service_url is 'site://other'; a site cannot refer",
        ),
        ({"service_url": ""}, r"site 'c' has no 'service_url' in /f0.toml; add the URL"),
    ],
)
def test_wrong_settings_are_refused_with_file_and_site(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(DescriptionError, match=message):
        expand({"service_url": "site://c"}, files({**CLUSTER, **wrong}))


def test_only_the_site_that_is_asked_for_must_be_right() -> None:
    known = [SiteFile("/a", {"c": CLUSTER, "broken": {"quue": 1}})]
    assert expand({"service_url": "site://c"}, known)["queue"] == "normal"


def test_a_file_is_read(write: Write) -> None:
    path = write('[sites.c]\nservice_url = "slurm://c"\ntunnel = true\nenvironment = { OMP = 1 }\n')
    found = read_site_file(path)
    assert found == SiteFile(
        str(path), {"c": {"service_url": "slurm://c", "tunnel": True, "environment": {"OMP": 1}}}
    )
    assert expand({"service_url": "site://c"}, [found])["environment"] == {"OMP": "1"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[sites.c]\nqueue = normal\n", r"sites.toml is not TOML: .*\(at line 2, column 9\)"),
        ("[sites.c]\nqueue = 'a'\nqueue = 'b'\n", r"is not TOML: .*\(at line 3"),
        (b"[sites.c]\n# \xff\n", r"is not UTF-8 \(at line 2\)"),
        ("[site.c]\n", r"has 'site'; did you mean 'sites'\? Each site is a section \[sites.name\]"),
        ("sites = 3\n", r"sites is 3; write sections \[sites.name\]"),
        ("[sites]\nqueue = 'a'\n", "'queue' under 'sites' is no site"),
        ("[sites.'my cluster']\n", "'my cluster' under 'sites' is no site"),
    ],
)
def test_a_broken_file_is_told_with_its_place(write: Write, text: str | bytes, message: str) -> None:
    path = write(text)
    with pytest.raises(DescriptionError, match=message) as caught:
        read_site_file(path)
    assert str(caught.value).startswith(str(path))


def test_what_is_no_file_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(DescriptionError, match="cannot be read: Is a directory"):
        read_site_file(tmp_path)
    assert not read_site_file(tmp_path / "none").exists
    (tmp_path / "file").touch()
    assert not read_site_file(tmp_path / "file" / "below").exists


@pytest.mark.parametrize("key", TRUSTED_KEYS)
def test_a_file_that_others_can_write_to_decides_no_commands(write: Write, key: str) -> None:
    values: dict[str, str] = dict.fromkeys(TRUSTED_KEYS, '"x"')
    values |= {"setup": '["x"]', "environment": '{ X = "1" }', "file_transfer": '["a > b"]'}
    values["service_url"] = '"slurm://c"'
    found = read_site_file(write(f"[sites.c]\n{key} = {values[key]}\n", 0o646))
    with pytest.raises(
        DescriptionError, match=f"{key} cannot be taken from this file: other users can write"
    ) as caught:
        expand({"service_url": "site://c"}, [*files(CLUSTER), found])
    assert f"chmod go-w {found.path}" in str(caught.value)


def test_a_file_that_others_can_write_to_may_say_harmless_things(write: Write) -> None:
    found = read_site_file(write('[sites.c]\nqueue = "debug"\n', 0o646))
    assert expand({"service_url": "site://c"}, [*files(CLUSTER), found])["queue"] == "debug"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_file_of_somebody_else_is_not_trusted(write: Write) -> None:
    path = write('[sites.c]\npython = "/tmp/python"\n')
    os.chown(path, 12345, -1)
    with pytest.raises(DescriptionError, match=r"python cannot be taken .* it belongs to user number 12345"):
        expand({"service_url": "site://c"}, [*files(CLUSTER), read_site_file(path)])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_group_is_trusted_when_it_is_the_users_own(write: Write) -> None:
    path = write('[sites.c]\npython = "/opt/python"\n', 0o660)
    os.chown(path, -1, os.getegid())
    assert not read_site_file(path).distrust  # root is alone in the group root
    os.chown(path, -1, 12345)
    assert read_site_file(path).distrust


def test_both_files_are_read_and_the_current_folder_comes_last(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    users = home / ".config" / "pilot" / "sites.toml"
    assert read_site_files(ClientConfig.from_environment()) == [
        SiteFile(str(users), exists=False),
        SiteFile(str(tmp_path / "pilot.toml"), exists=False),
    ]
    users.parent.mkdir(parents=True)
    users.write_text('[sites.c]\nservice_url = "slurm://c"\nqueue = "users"\nproject = "p"\n')
    users.chmod(0o600)
    Path("pilot.toml").write_text('[sites.c]\nqueue = "folders"\n')
    expanded = expand({"service_url": "site://c"})
    assert expanded == {"service_url": "slurm://c", "queue": "folders", "project": "p"}


def test_a_current_folder_that_is_gone_has_no_file(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(DescriptionError, match=r"there is no site 'c'.*pilot.toml \(not there\)"):
        expand({"service_url": "site://c"})


def test_the_service_takes_a_site_and_stores_what_it_stands_for(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = [
        'service_url = "fork://localhost"',
        f'working_directory = "{tmp_path}/work"',
        "number_of_processes = 1",
    ]
    Path("pilot.toml").write_text("\n".join(["[sites.here]", *settings, 'python = "/bin/true"']))
    Path("pilot.toml").chmod(0o600)
    with PilotComputeService(url) as service:
        pilot = service.create_pilot({"service_url": "site://here", "walltime": 3})
        described = pilot.details["description"]
    assert described["service_url"] == "fork://localhost"
    assert described["working_directory"] == f"{tmp_path}/work"
    assert described["walltime"] == 3

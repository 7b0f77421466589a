from pathlib import Path

import pytest

import check_versions

CHANGELOG = "# Changelog\n\n## [1.2.3] - unreleased\n"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Two packages of version 1.2.3, one of which needs the other."""
    write_package(tmp_path, "pilot-protocol", "")
    write_package(tmp_path, "pilot-agent", '"pilot-protocol==1.2.3", "redis>=5"')
    (tmp_path / "CHANGELOG.md").write_text(CHANGELOG)
    return tmp_path


def write_package(
    root: Path, name: str, dependencies: str, *, version: str = "1.2.3", more: str = ""
) -> None:
    folder = root / "packages" / name
    (folder / "src").mkdir(parents=True, exist_ok=True)
    project = f'[project]\nname = "{name}"\nversion = "{version}"\ndependencies = [{dependencies}]\n'
    (folder / "pyproject.toml").write_text(project + more)


def test_one_version_everywhere_is_right(repository: Path) -> None:
    assert list(check_versions.disagreements(repository)) == []


def test_packages_of_two_versions_are_named(repository: Path) -> None:
    write_package(repository, "pilot-agent", "", version="1.2.4")
    (message,) = check_versions.disagreements(repository)
    assert "'pilot-agent': '1.2.4'" in message
    assert "'pilot-protocol': '1.2.3'" in message


@pytest.mark.parametrize("pin", ["pilot-protocol", "pilot-protocol>=1.2.3", "pilot-protocol==1.2.2"])
def test_a_loose_or_old_pin_is_named(repository: Path, pin: str) -> None:
    write_package(repository, "pilot-agent", f'"{pin}"')
    (message,) = check_versions.disagreements(repository)
    assert message == f"pilot-agent must require pilot-protocol==1.2.3, it requires {pin!r}"


def test_the_pins_of_extras_count_too(repository: Path) -> None:
    extra = '[project.optional-dependencies]\nwire = ["pilot-protocol"]\n'
    write_package(repository, "pilot-agent", "", more=extra)
    assert list(check_versions.disagreements(repository)) == [
        "pilot-agent must require pilot-protocol==1.2.3, it requires 'pilot-protocol'"
    ]


def test_a_version_literal_in_the_sources_must_agree(repository: Path) -> None:
    (repository / "packages/pilot-agent/src/module.py").write_text('"""Agent."""\n\n__version__ = "1.2.2"\n')
    assert list(check_versions.disagreements(repository)) == [
        "packages/pilot-agent/src/module.py: __version__ is 1.2.2, the packages have 1.2.3"
    ]


def test_the_change_log_must_know_the_version(repository: Path) -> None:
    (repository / "CHANGELOG.md").write_text("# Changelog\n")
    assert list(check_versions.disagreements(repository)) == ["CHANGELOG.md has no section for 1.2.3"]

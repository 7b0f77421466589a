import subprocess
import sys
from pathlib import Path

IMPORT_AND_LIST = """
import sys
before = set(sys.modules)
import pilot_data
print(pilot_data.__version__, *sorted(set(sys.modules) - before))
"""


def test_importing_the_package_loads_nothing_but_a_little_of_the_standard_library() -> None:
    shown = subprocess.run(
        [sys.executable, "-c", IMPORT_AND_LIST], capture_output=True, text=True, check=True
    )
    _version, *loaded = shown.stdout.split()
    packages = {name.partition(".")[0] for name in loaded}
    assert packages - sys.stdlib_module_names == {"pilot_data"}
    assert packages & {"asyncio", "hashlib", "socket", "ssl", "subprocess", "tempfile", "urllib"} == set()


HELP_AND_LIST = """
import sys
from pilot_data.cli.main import run
assert run(["--help"]) == 0
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""

HEAVY = {
    "boto3",
    "botocore",
    "paramiko",
    "cryptography",
    "globus_sdk",
    "requests",
    "redis",
    "tqdm",
    "watchdog",
}


def test_help_of_the_command_loads_no_library_of_a_storage() -> None:
    shown = subprocess.run([sys.executable, "-c", HELP_AND_LIST], capture_output=True, text=True, check=True)
    loaded = set(shown.stdout.splitlines()[-1].split())
    assert "click" in loaded
    assert loaded & HEAVY == set()


LIST_AND_LIST = """
import sys
from pilot_data.cli.main import run
assert run(["ls", sys.argv[1]]) == 0
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""


def test_a_command_on_a_path_loads_no_redis(tmp_path: Path) -> None:
    command = [sys.executable, "-c", LIST_AND_LIST, str(tmp_path)]
    shown = subprocess.run(command, capture_output=True, text=True, check=True)
    assert set(shown.stdout.splitlines()[-1].split()) & HEAVY == set()

import subprocess
import sys

IMPORT_AND_LIST = """
import sys
before = set(sys.modules)
import pilot_data
print(pilot_data.__version__, *sorted(set(sys.modules) - before))
"""


def test_importing_the_package_loads_nothing_else() -> None:
    shown = subprocess.run(
        [sys.executable, "-c", IMPORT_AND_LIST], capture_output=True, text=True, check=True
    )
    _version, *loaded = shown.stdout.split()
    assert loaded == ["pilot_data"]

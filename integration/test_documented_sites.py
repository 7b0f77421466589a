"""The sites of the documentation are settings that pilots can have."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pilot.sites import expand, read_site_file
from pilot_protocol.compute_descriptions import validate_pilot_compute

PAGE = Path(__file__).parent.parent / "docs" / "sites.md"
BLOCKS = re.findall(r"^```toml\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
NAMES = re.findall(r"^\[sites\.(\w+)\]", "\n".join(BLOCKS), re.MULTILINE)


@pytest.mark.parametrize("name", NAMES)
def test_a_documented_site_can_be_used(name: str, tmp_path: Path) -> None:
    path = tmp_path / "sites.toml"
    path.write_text("\n".join(BLOCKS), encoding="utf-8")
    path.chmod(0o600)
    described = expand({"service_url": f"site://{name}", "number_of_nodes": 1}, [read_site_file(path)])
    payload = validate_pilot_compute(described)
    assert payload["service_url"].startswith(("slurm+ssh://", "ec2+ssh://"))
    assert payload["number_of_nodes"] == 1


def test_the_page_has_examples() -> None:
    assert len(NAMES) == len(set(NAMES)) == 7

"""The code in the documentation runs, prints what stands below it, and its links lead somewhere.

The Python blocks of a document are one program. A block of text directly below one is what it prints; `...` in it stands
for anything on one line.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from child_program import run_python

DOCS = Path(__file__).resolve().parent.parent / "docs"
DOCUMENTS = sorted(DOCS.glob("*.md"))
BLOCK = re.compile(
    r"^```python\n(?P<code>.*?)^```\n(?:```text\n(?P<output>.*?)^```\n)?", re.DOTALL | re.MULTILINE
)
MARK = "--- end of block ---"


@pytest.mark.parametrize("name", ["tutorial.md", "coming-from-bigjob.md", "data-and-compute.md"])
def test_code_prints_what_is_below_it(
    name: str, home: Path, environment: dict[str, str], redis_url: str
) -> None:
    blocks = list(BLOCK.finditer((DOCS / name).read_text(encoding="utf-8")))
    program = home / "document.py"
    program.write_text(
        f"COORDINATION_URL = {redis_url!r}\n"
        + "".join(f"{block['code']}print({MARK!r})\n" for block in blocks)
    )
    ended = run_python(program, environment)
    ended.check_clean()
    printed = ended.stdout.split(f"{MARK}\n")
    assert len(printed) == len(blocks) + 1
    for block, output in zip(blocks, printed, strict=False):
        expected = block["output"] or ""
        pattern = re.escape(expected).replace(re.escape("..."), ".*")
        assert re.fullmatch(pattern, output), (
            f"below\n{block['code']}\nstands\n{expected}\nit prints\n{output}"
        )


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)", document.read_text(encoding="utf-8"))
    missing = [
        target for target in targets if not target.startswith("https://") and not (DOCS / target).exists()
    ]
    assert missing == []

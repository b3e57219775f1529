"""The recipe of docs/scale.md for PostgreSQL, taken from there: SESSIONS_TEST_ENGINE=partitioned."""

import re
from pathlib import Path

_PAGE = Path(__file__).resolve().parents[2] / "docs" / "scale.md"


def recipe(file: str) -> str:
    """Return the block of the page that begins with the name of this file."""
    blocks = re.findall(r"^```python\n(.*?)^```", _PAGE.read_text(), re.MULTILINE | re.DOTALL)
    (block,) = [block for block in blocks if block.startswith(f"# {file}\n")]
    return str(block)

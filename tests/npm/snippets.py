"""Code out of two documents that are not this project's: read when a test runs, and never stored here.

They lie in the folder that REFERENCE_DOCUMENTS names, or in ``../shared/reference``.
"""

import os
import re
from pathlib import Path

from tests.npm.conftest import ROOT

FOLDER = Path(os.environ.get("REFERENCE_DOCUMENTS", ROOT.parent / "shared/reference"))
STORES = FOLDER / "nevr-session-management.txt"
OBJECTS = FOLDER / "bknd-session-handling.txt"

# Where the text of a comment ends and code goes on, in a document that has lost its line breaks.
_CODE = re.compile(
    r"(?<=\s)(?:(?:const|let|async|await|class|private|import|export|function) [\w{]|return (?:[a-z(<]|Resp)|if \("
    r"|(?:getUser|isAuthenticated|subscribe|startAutoRefresh|scheduleRefresh|setInterval|alert)\("
    r"|(?:api|console|document|localStorage|session|this|window)\.|(?:showSessionWarning|useEffect)\(|[})\]])"
)


def between(text: str, start: str, end: str) -> str:
    """Return the code from ``start`` up to ``end``."""
    assert start in text, start
    return start + text.partition(start)[2].partition(end)[0]


def lines_with(start: str) -> list[str]:
    """Return the snippets of the second document that begin so, with their line breaks."""
    found = [line for line in OBJECTS.read_text().splitlines() if line.startswith(start)]
    assert found, start
    return [unfolded(line) for line in found]


def unfolded(line: str) -> str:
    """Return code that was written on one line, with each comment on a line of its own."""
    code, comment, rest = line.partition("// ")
    # An address has slashes too.
    if comment and code.endswith(":"):
        after = unfolded(rest)
        return code + comment + after
    if not comment:
        return code
    # A comment that is code itself ends with its statement.
    commented = re.match(r"(?:await )?\w+\(\); ?", rest)
    if commented:
        end = commented.end()
    else:
        found = _CODE.search(rest)
        following = rest.find("// ")
        end = found.start() if found else len(rest)
        if 0 <= following < end:
            end = following
    return f"{code}\n// {rest[:end]}\n{unfolded(rest[end:])}"


def adapted(code: str, **modules: str) -> str:
    """Return code with the host of the page, and with imports from here in place of theirs."""
    code = code.replace('"http://localhost:7654"', "location.origin")
    code = re.sub(r"^import type .*$", "", code, flags=re.MULTILINE)
    seen: set[str] = set()

    def moved(found: re.Match[str]) -> str:
        # One import stands there twice.
        statement = found[0].replace(found[1], modules.get(found[1], found[1]))
        if statement in seen:
            return ""
        seen.add(statement)
        return statement

    return re.sub(r'import \{[^}]*\} from "([^"]+)"', moved, code)

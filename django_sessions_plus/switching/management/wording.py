"""What ``import_sessions`` says about a source."""

from typing import Any

from django_sessions_plus.conf import PREFIX
from django_sessions_plus.switching.bulk_import import Figures
from django_sessions_plus.switching.sources.named import TOKENS, source_of


def figures_as_json(figures: Figures) -> dict[str, Any]:
    """Return the figures of one import, as they can be written as JSON."""
    last = figures.last_imported_at
    # Not asdict(), which cannot copy a Counter before Python 3.12.
    return vars(figures) | {"last_imported_at": None if last is None else last.isoformat()}


def status_text(name: str, left: int | None, days: int | None, *, is_over: bool) -> str:
    """Return the line about the source with this name; ``left`` and ``days`` are None where nobody knows.

    ``left`` is how many sessions are left to import, and ``days`` how many days ago the last one was imported.
    """
    text = f"{name}: "
    text += unlisted(name) if left is None else f"{left:,} sessions are left to import"
    if days is None:
        text += "; none has been imported yet."
    elif days < 1:
        text += "; the last one was imported within a day."
    else:
        text += f"; nothing has been imported for {days} day{'' if days == 1 else 's'}."
    return text + (f" {PREFIX}IMPORT_FROM can be emptied." if is_over else "")


def unlisted(name: str) -> str:
    """Return why nobody can say what the source with this name has."""
    if name in TOKENS:
        return "tokens come when they are used"
    return f"{source_of(name).place} cannot be listed"


def missing_text(*, active: int, begun_here: int, not_kept: int, users: int) -> str:
    """Return the line about what the previous engine would not have; see ``count_missing()``."""
    return (
        f"Of {active:,} active sessions, {begun_here + not_kept:,} would not be there without this package, of"
        f" {users:,} users: {begun_here:,} have begun here, and {not_kept:,} were imported and are not kept under"
        " their present token."
    )

"""What ``import_sessions`` says about a source."""

from django_sessions_plus.conf import PREFIX
from django_sessions_plus.switching.sources.named import TOKENS, source_of


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

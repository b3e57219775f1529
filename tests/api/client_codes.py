"""The browser client's type of error codes, made from the API's table: ``make codes`` writes it."""

import os
from pathlib import Path

STATIC = Path(__file__).parents[2] / "django_sessions_plus/static/django_sessions_plus"
FILE = STATIC / "codes.d.ts"

_HEAD = """\
// Made from the table of the API by "make codes"; a test holds them equal.

/** The codes of the API's errors. */
export type ApiErrorCode =
"""


def text() -> str:
    """Return what the file has to hold."""
    # Importable without settings, for who runs this as a program.
    from django_sessions_plus.api.errors import ERRORS  # noqa: PLC0415

    return _HEAD + "\n".join(f'  | "{code}"' for code in ERRORS) + ";\n"


if __name__ == "__main__":
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    django.setup()
    FILE.write_text(text())

"""The package's catalogs, and the texts its sources have for them, found without gettext."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import polib
import pytest
from django.utils.translation.template import templatize

PACKAGE = Path(__file__).resolve().parents[2] / "django_sessions_plus"
DIRECTORIES = {
    "ar": "ar",
    "de": "de",
    "es": "es",
    "fr": "fr",
    "ja": "ja",
    "nl": "nl",
    "pt-br": "pt_BR",
    "zh-hans": "zh_Hans",
}
"""By language, where its catalog is."""

LANGUAGES = list(DIRECTORIES)
USUAL = {"ar", "de"}
"""Those that every run tries: one with Latin letters, one with other letters and the most plural forms."""

EACH_LANGUAGE = [
    language if language in USUAL else pytest.param(language, marks=pytest.mark.thorough)
    for language in LANGUAGES
]
"""All of them, for ``parametrize``."""

Key = tuple[str | None, str, str]
"""What a catalog knows a text by: its context, itself, its plural."""

# By their names without "_lazy": whether the first argument is a context, and the next two are
# the forms of one text.
_FUNCTIONS = {
    "_": (False, False),
    "gettext": (False, False),
    "pgettext": (True, False),
    "ngettext": (False, True),
    "npgettext": (True, True),
}
_LITERAL = r"""u?(?:'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*")"""
# What templatize() makes of a template is no Python, but the calls in it are.
_CALL = re.compile(rf"\b(?:_|n?p?gettext)\({_LITERAL}(?:, {_LITERAL})*(?:, count)?\)")


def path_of(language: str, suffix: str = ".po") -> Path:
    """Return where a language's catalog is."""
    return PACKAGE / "locale" / DIRECTORIES[language] / "LC_MESSAGES" / f"django{suffix}"


def catalog(language: str) -> polib.POFile:
    """Return a language's catalog, as people edit it."""
    return polib.pofile(str(path_of(language)))


def key(entry: polib.POEntry | polib.MOEntry) -> Key:
    """Return what an entry is known by."""
    return entry.msgctxt, entry.msgid, entry.msgid_plural or ""


def forms(entry: polib.POEntry | polib.MOEntry) -> list[str]:
    """Return the translation, one of a plural for each form in turn."""
    if not entry.msgid_plural:
        return [entry.msgstr]
    return [entry.msgstr_plural[number] for number in sorted(entry.msgstr_plural)]


@cache
def marked_texts() -> frozenset[Key]:
    """Return every text that the sources of the package mark for translation."""
    calls = [*_calls_in_python(), *_calls_in_templates()]
    return frozenset(found for call in calls if (found := _key_of(call)) is not None)


def _calls_in_python() -> Iterator[ast.Call]:
    for path in PACKAGE.rglob("*.py"):
        tree = ast.parse(path.read_text("utf-8"))
        yield from (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def _calls_in_templates() -> Iterator[ast.Call]:
    for path in PACKAGE.joinpath("templates").rglob("*"):
        if path.suffix in {".html", ".txt"}:
            for call in _CALL.findall(templatize(path.read_text("utf-8"), origin=str(path))):
                expression = ast.parse(call, mode="eval").body
                assert isinstance(expression, ast.Call)
                yield expression


def _key_of(call: ast.Call) -> Key | None:
    name = getattr(call.func, "id", getattr(call.func, "attr", "")).removesuffix("_lazy")
    if name not in _FUNCTIONS:
        return None
    has_context, has_plural = _FUNCTIONS[name]
    texts = [each.value for each in call.args if isinstance(each, ast.Constant)]
    context = str(texts.pop(0)) if has_context else None
    return context, str(texts[0]), str(texts[1]) if has_plural else ""

"""Every text of the package is in every catalog, translated, with all that must be kept."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from gettext import c2py
from pathlib import Path
from typing import Any

import django
import polib
import pytest
from django.core.management import call_command
from django.utils.translation import to_locale

from tests.running import need
from tests.translations.catalogs import (
    DIRECTORIES,
    EACH_LANGUAGE,
    LANGUAGES,
    PACKAGE,
    catalog,
    forms,
    key,
    marked_texts,
    path_of,
)

PLACEHOLDER = re.compile(r"%\(\w+\)[a-z]|%%|\{\w*\}")
TAG = re.compile(r"</?\w[^>]*>")
# What is typed, and names that are the same in every language.
KEPT = {"“everyone”": "everyone"} | {name: name for name in ("JSON", "JWT", "CSRF", "192.0.2.0/24")}
# What people who speak the language stumbled over, and what they would say.
ODD = {
    "de": ["anderes Wort", "Grund des Endes", "Hier sind Sie angemeldet", "in Ihrem Konto"],
    "es": ["reconoce?", "en %(count)d", "Aquí es donde", "le conocíamos", "Esa no es"],
    "fr": ["connecté nulle", "connecté ici", "êtes connecté", "La vôtre reste"],
}
ASKED_FOR = {
    "de": [
        "Auf diesen Geräten sind Sie angemeldet.",
        "Grund der Beendigung",
        "Das eingegebene Wort stimmt nicht.",
        "Anmeldung bei Ihrem Konto",
    ],
    "es": ["reconozca?", "dentro de %(count)d minutos"],
    "fr": ["est conservée"],
}

each_language = pytest.mark.parametrize("language", EACH_LANGUAGE)


def extracted(directory: Path) -> polib.POFile:
    """Return what Django's ``makemessages`` finds in the package; writes in ``directory`` alone."""
    source = directory / PACKAGE.name
    shutil.copytree(PACKAGE, source, ignore=shutil.ignore_patterns("__pycache__", "locale"))
    source.joinpath("locale").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(source)
        call_command("makemessages", locale=["de"], no_location=True, verbosity=0)
    return polib.pofile(str(source / "locale/de/LC_MESSAGES/django.po"))


def forms_of_numbers(po: polib.POFile) -> list[int]:
    """Return which plural form each number up to a thousand takes."""
    choose = c2py(po.metadata["Plural-Forms"].partition("plural=")[2].rstrip(";"))
    return [choose(number) for number in range(1001)]


def parts(po: polib.POFile) -> list[int]:
    """Return for each number the first one that takes the same form."""
    found = forms_of_numbers(po)
    return [found.index(form) for form in found]


def is_rare(form: int, po: polib.POFile) -> bool:
    """Tell whether so few numbers take this plural form that the words may say which."""
    return forms_of_numbers(po).count(form) < 5


def test_there_is_a_catalog_for_each_language_and_no_other():
    found = {path.name for path in PACKAGE.joinpath("locale").iterdir()}
    assert found == set(DIRECTORIES.values())
    assert {language: to_locale(language) for language in LANGUAGES} == DIRECTORIES


@each_language
def test_each_catalog_has_every_text_of_the_sources_and_no_other(language):
    assert {key(entry) for entry in catalog(language)} == marked_texts()


@pytest.mark.slow
def test_gettext_finds_the_same_texts(tmp_path):
    need(shutil.which("xgettext"), "xgettext")
    found = extracted(tmp_path)
    assert {key(entry) for entry in found} == marked_texts()
    flags = {key(entry): entry.flags for entry in found}
    for language in LANGUAGES:
        assert {key(entry): entry.flags for entry in catalog(language)} == flags, language


@each_language
def test_nothing_is_untranslated_fuzzy_or_obsolete(language):
    po = catalog(language)
    count = int(po.metadata["Plural-Forms"].partition("nplurals=")[2].partition(";")[0])
    for entry in po:
        assert not entry.fuzzy, entry.msgid
        assert not entry.obsolete, entry.msgid
        assert all(text.strip() for text in forms(entry)), entry.msgid
        assert len(forms(entry)) == (count if entry.msgid_plural else 1), entry.msgid
    assert not po.metadata_is_fuzzy


@each_language
def test_plural_forms_part_numbers_as_djangos_own_translation_does(language):
    """Up to a thousand: for whole millions Django's French got a form of its own with 6.1."""
    directory = Path(django.__file__).parent / "conf/locale" / DIRECTORIES[language]
    theirs = polib.pofile(str(directory / "LC_MESSAGES/django.po"))
    ours = catalog(language)
    assert parts(ours) == parts(theirs)
    assert ours.metadata["Language"] == DIRECTORIES[language]


@each_language
def test_placeholders_are_kept(language):
    po = catalog(language)
    for entry in po:
        wanted = Counter(PLACEHOLDER.findall(entry.msgid_plural or entry.msgid))
        for number, text in enumerate(forms(entry)):
            found = Counter(PLACEHOLDER.findall(text))
            may_omit = bool(entry.msgid_plural) and is_rare(number, po)
            assert found == wanted or (may_omit and found <= wanted), text


@each_language
def test_tags_and_space_around_are_kept(language):
    for entry in catalog(language):
        for text in forms(entry):
            assert Counter(TAG.findall(text)) == Counter(TAG.findall(entry.msgid)), text
            assert text == text.strip(), text
            assert entry.msgid == entry.msgid.strip(), entry.msgid


@each_language
def test_words_that_are_typed_or_mean_the_same_everywhere_are_kept(language):
    for entry in catalog(language):
        kept = [word for name, word in KEPT.items() if name in entry.msgid]
        assert all(word in text for word in kept for text in forms(entry)), entry.msgid


@each_language
def test_what_a_button_is_called_holds_what_stands_on_it(language):
    """WCAG 2.5.3: who speaks to a computer says what there is to read."""
    texts = {entry.msgid: entry.msgstr for entry in catalog(language)}
    assert texts["End session"] in texts["End session %(device)s"]


@each_language
def test_the_compiled_catalog_is_that_of_the_edited_one(language):
    def content(entries: Any) -> dict[Any, list[str]]:
        return {key(entry): forms(entry) for entry in entries}

    compiled = path_of(language, ".mo")
    assert compiled.exists()
    po, mo = catalog(language), polib.mofile(str(compiled))
    assert content(mo) == content(po)
    assert mo.metadata["Plural-Forms"] == po.metadata["Plural-Forms"]


@pytest.mark.parametrize("language", ODD)
def test_texts_that_were_put_right_stay_so(language):
    said = "\n".join(text for entry in catalog(language) for text in forms(entry))
    assert [words for words in ODD[language] if words in said] == []
    assert [words for words in ASKED_FOR[language] if words not in said] == []


def test_no_text_is_one_that_read_oddly():
    texts = " ".join(str(entry) for entry in marked_texts()).lower()
    assert [words for words in ("take me back", "another word") if words in texts] == []

"""The pages of the documentation show the projects that are tested, and nothing else."""

import re
from pathlib import Path

import pytest

from tests.npm.conftest import HERE, ROOT

pytestmark = pytest.mark.docs

FOLDERS = {"nextjs": "next", "vue": "vite/src", "svelte": "vite/src", "solid": "vite/src"}
FILE = re.compile(r"^`([\w./-]+)`:\n\n```\w+\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize(("page", "folder"), list(FOLDERS.items()))
def test_the_files_of_a_page_are_those_that_are_tested(page, folder):
    text = (ROOT / f"docs/{page}.md").read_text()
    shown = FILE.findall(text)
    assert len(shown) == text.count("```") // 2 >= 3
    for name, content in shown:
        assert (Path(HERE) / folder / name).read_text() == content, name

"""The page that shows the API to be tried out, under the policy that allows nothing inline."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from django_sessions_plus.api import errors, oauth
from tests.browser.conftest import COME_TO_REST, Visitor
from tests.browser.test_two_browsers import look_at

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

pytestmark = pytest.mark.browser

Person = Callable[..., Visitor]


def operation(page: Page, name: str) -> Locator:
    """Open what the page says of an operation."""
    block = page.locator(f".opblock[id$='-{name}']")
    block.locator(".opblock-summary-control").click()
    return block


def execute(block: Locator) -> dict[str, object]:
    """Send the request and return the body of the answer."""
    block.get_by_role("button", name="Execute").click()
    block.locator(".live-responses-table").wait_for()
    text = block.locator(".live-responses-table .response-col_description pre").first.inner_text()
    found: dict[str, object] = json.loads(text)
    return found


def test_it_lists_every_operation_and_nothing_is_forbidden(person: Person, complaints: list[str]):
    page = person().open("/api/")
    page.locator(".opblock").first.wait_for()

    shown = {
        (block.locator(".opblock-summary-method").inner_text().lower(), path.inner_text())
        for block in page.locator(".opblock").all()
        for path in [block.locator(".opblock-summary-path")]
    }
    schema = page.request.get(page.url.removesuffix("api/") + "auth/schema?format=json").json()
    described = {(method, path) for path, methods in schema["paths"].items() for method in methods}
    assert {(method, path.replace("\u200b", "")) for method, path in shown} == described
    assert complaints == []


def test_it_names_every_code_an_operation_can_answer_with(person: Person):
    page = person().open("/api/")
    page.locator(".opblock").first.wait_for()
    for summary in page.locator(".opblock-summary-control").all():
        summary.click()
    page.locator(".responses-table").nth(page.locator(".opblock").count() - 1).wait_for()
    named = {
        code.inner_text() for code in page.locator(".response-col_description__inner code").all()
    }
    assert named == (errors.ERRORS.keys() - {"method_not_allowed", "not_in_use"}) | (
        oauth.ERRORS.keys() - {"server_error"}
    )


def test_the_session_of_the_browser_can_be_asked_for(person: Person, complaints: list[str]):
    visitor = person()
    page = visitor.open("/api/")
    assert execute(operation(page, "get_session")) == {"session": None, "user": None}
    page.close()

    visitor.sign_in().close()
    page = visitor.open("/api/")
    block = operation(page, "get_session")
    answer = execute(block)
    assert isinstance(answer["user"], dict)
    assert answer["user"]["username"] == visitor.username
    look_at(page, "api", widths=(320, 390, 1280))
    assert complaints == []


def test_what_needs_the_csrf_token_has_it(person: Person):
    visitor = person()
    visitor.sign_in().close()
    page = visitor.open("/api/")
    assert execute(operation(page, "revoke_sessions")) == {"revoked": 0}


def test_the_labels_can_be_read_by_night(person: Person, axe: str):
    page = person().open("/api/")
    page.emulate_media(color_scheme="dark")
    operation(page, "sign_in")
    labels = (".header-col", ".examples-select__section-label", ".tab", ".response-col_status")
    for label in labels:
        page.locator(label).first.wait_for()
    page.evaluate(axe)
    page.evaluate(COME_TO_REST)
    found = page.evaluate(
        "of => axe.run({include: of}, {runOnly: ['color-contrast'], preload: false})",
        [[label] for label in labels],
    )
    wrong = [node["html"] for each in found["violations"] for node in each["nodes"]]
    assert wrong == []
    passed = str(found["passes"])
    assert all(label.lstrip(".") in passed for label in labels)

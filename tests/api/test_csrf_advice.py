"""With DEBUG the 403 of a CSRF failure says which setting is missing; without, it says nothing of the request."""

import pytest
from django.utils import translation

from tests.api.conftest import ApiClient, code

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.api.urls")]

PAGE = "http://localhost:5173"


@pytest.fixture
def browser():
    client = ApiClient(enforce_csrf_checks=True)
    client.get("/auth/session")
    return client


def sign_in(client, secure=False, **headers):
    return client.post(
        "/auth/sign-in",
        {"username": "ada", "password": "x"},
        content_type="application/json",
        secure=secure,
        headers=headers,
    )


def token(client):
    return client.cookies["csrftoken"].value


@pytest.mark.parametrize("language", ["en", "de"])
def test_without_debug_nothing_is_told_of_the_request(browser, language):
    with translation.override(language):
        answer = sign_in(browser, origin=PAGE, x_csrftoken=token(browser), accept_language=language)
    assert code(answer) == "csrf_failed"
    assert "localhost" not in answer.content.decode()
    assert "TRUSTED" not in answer.content.decode()


def test_a_page_of_another_origin_is_named_with_the_setting(browser, settings):
    settings.DEBUG = True
    answer = sign_in(browser, origin=PAGE, x_csrftoken=token(browser))
    assert (answer.status_code, code(answer)) == (403, "csrf_failed")
    detail = answer.json()["detail"]
    assert "CSRF_TRUSTED_ORIGINS" in detail
    assert PAGE in detail
    assert "'testserver'" in detail
    assert "changeOrigin: false" in detail


def test_that_setting_is_enough(browser, settings):
    settings.DEBUG = True
    settings.CSRF_TRUSTED_ORIGINS = [PAGE]
    answer = sign_in(browser, origin=PAGE, x_csrftoken=token(browser))
    assert code(answer) == "invalid_credentials"


def test_a_missing_cookie_is_told_with_what_keeps_it_away(settings):
    settings.DEBUG = True
    detail = sign_in(ApiClient(enforce_csrf_checks=True)).json()["detail"]
    assert "CSRF cookie not set" in detail
    assert "CSRF_COOKIE_SECURE" in detail


def test_a_missing_header_is_told_by_its_name(browser, settings):
    settings.DEBUG = True
    settings.CSRF_HEADER_NAME = "HTTP_X_OURS"
    detail = sign_in(browser).json()["detail"]
    assert "X-Ours" in detail
    assert "CSRF_HEADER_NAME" in detail


def test_a_referer_of_another_site_is_told(browser, settings):
    settings.DEBUG = True
    detail = sign_in(browser, secure=True, referer="https://elsewhere.test/").json()["detail"]
    assert "Referer checking failed" in detail
    assert "SECURE_PROXY_SSL_HEADER" in detail

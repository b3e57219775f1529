"""django-axes as it is: whoever it locks out reads that in the form of the API.

Run with the package installed::

    python -m pytest -m neighbours --ds tests.neighbours.axes_settings tests/neighbours/test_axes.py
"""

from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.test import Client

if not apps.is_installed("axes"):
    pytest.skip("needs tests.neighbours.axes_settings", allow_module_level=True)

pytestmark = [pytest.mark.neighbours, pytest.mark.django_db]

PASSWORD = "correct horse"


def post(client: Client, name: str, **body: Any) -> Any:
    return client.post(f"/auth/{name}", body, content_type="application/json")


def assert_is_locked_out(answer: Any) -> None:
    assert answer.status_code == 429
    assert answer.json()["code"] == "throttled"
    assert answer["Retry-After"] == "7200"
    assert answer["Cache-Control"] == "no-store"
    assert answer["Content-Type"] == "application/json"


@pytest.mark.parametrize("transport", ["cookie", "bearer", "jwt"])
def test_a_sign_in_is_locked_out_in_the_form_of_the_api(db, transport):
    User.objects.create_user("ada", password=PASSWORD)
    tried = {"username": "ada", "password": "wrong", "transport": transport}
    answers = [post(Client(), "sign-in", **tried) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [401, 401, 429, 429]
    assert_is_locked_out(answers[-1])
    assert_is_locked_out(post(Client(), "sign-in", **tried | {"password": PASSWORD}))


def test_so_is_a_re_authentication(db):
    ada = User.objects.create_user("ada", password=PASSWORD)
    browser = Client()
    browser.force_login(ada, "django.contrib.auth.backends.ModelBackend")
    answers = [post(browser, "reauthenticate", password="wrong") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [403, 403, 429]
    assert_is_locked_out(answers[-1])

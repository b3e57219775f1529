"""django-tenants as it is: a session, and a token without a row, is good at its own tenant alone.

Run with the package installed, on PostgreSQL::

    python -m pytest -m neighbours --ds tests.neighbours.tenants_settings tests/neighbours/test_tenants.py
"""

from __future__ import annotations

from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.core import checks
from django.test import Client

from django_sessions_plus import sessions
from django_sessions_plus.models import Session

if not apps.is_installed("django_tenants"):
    pytest.skip("needs tests.neighbours.tenants_settings, and PostgreSQL", allow_module_level=True)

from django_tenants.utils import schema_context, tenant_context

from tests.neighbours.tenancy.models import Host, Tenant

pytestmark = [pytest.mark.neighbours, pytest.mark.django_db]

PASSWORD = "lovelace-1815"


@pytest.fixture
def tenants(db: None) -> list[Tenant]:
    """Two tenants with one person of the same name and key each; the rollback drops their schemas."""
    made = []
    with schema_context("public"):
        for name in ("acme", "globex"):
            tenant = Tenant.objects.create(schema_name=name, name=name)
            Host.objects.create(domain=f"{name}.example.com", tenant=tenant, is_primary=True)
            made.append(tenant)
    for tenant in made:
        with tenant_context(tenant):
            User.objects.create_user("ada", pk=1, password=PASSWORD)
    return made


def browser_of(name: str) -> Client:
    return Client(headers={"host": f"{name}.example.com"})


def sign_in(browser: Client, **body: str) -> Any:
    body = {"username": "ada", "password": PASSWORD, **body}
    answer = browser.post("/auth/sign-in", body, content_type="application/json")
    assert answer.status_code == 200, answer.content
    return answer.json()


def test_a_session_is_good_at_its_tenant_alone(tenants: list[Tenant]) -> None:
    acme, globex = browser_of("acme"), browser_of("globex")
    sign_in(acme)
    assert acme.get("/mine").json()["user"] == "ada"
    globex.cookies = acme.cookies
    assert globex.get("/mine").status_code == 401
    with tenant_context(tenants[0]):
        (listed,) = sessions.list_for(User.objects.get())
        assert sessions.revoke(listed.pk)
    assert acme.get("/mine").status_code == 401
    with tenant_context(tenants[1]):
        assert not Session.objects.exists()


@pytest.mark.parametrize("view", ["/mine", "/stateless"])
def test_so_is_an_access_token(tenants: list[Tenant], view: str) -> None:
    access = sign_in(browser_of("acme"), transport="jwt")["access"]
    header = {"authorization": f"Bearer {access}"}
    assert browser_of("acme").get(view, headers=header).status_code == 200
    assert browser_of("globex").get(view, headers=header).status_code == 401


def test_the_checks_see_that_tenants_are_told_apart(settings: Any) -> None:
    def ids() -> list[str]:
        return [str(m.id) for m in checks.run_checks(tags=["django_sessions_plus"])]

    assert "django_sessions_plus.W036" not in ids()
    settings.SESSIONS_PLUS_JWT_ISSUER = "one"
    assert "django_sessions_plus.W036" in ids()

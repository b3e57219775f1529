"""A site with django-tenants: people and sessions of each tenant are in a schema of their own."""

from typing import Any

from tests.settings import *  # noqa: F403
from tests.settings import DATABASES
from tests.settings import INSTALLED_APPS as BASE_APPS
from tests.settings import MIDDLEWARE as BASE_MIDDLEWARE

ROOT_URLCONF = "tests.api.urls"
if DATABASES["default"]["ENGINE"].endswith(".postgresql"):
    DATABASES["default"]["ENGINE"] = "django_tenants.postgresql_backend"
    DATABASE_ROUTERS = ["django_tenants.routers.TenantSyncRouter"]
    SHARED_APPS = ["django_tenants", "tests.neighbours.tenancy", "django.contrib.contenttypes"]
    TENANT_APPS = BASE_APPS
    INSTALLED_APPS = [*SHARED_APPS, *(app for app in BASE_APPS if app not in SHARED_APPS)]
    MIDDLEWARE = ["django_tenants.middleware.main.TenantMainMiddleware", *BASE_MIDDLEWARE]
    TENANT_MODEL = "tenancy.Tenant"
    TENANT_DOMAIN_MODEL = "tenancy.Host"


def issuer(request: Any) -> str:
    """Return the host of the tenant, as docs/jwt.md has it."""
    return f"https://{request.get_host()}" if request is not None else "https://example.com"


SESSIONS_PLUS_JWT_ISSUER = issuer

"""Tenants, and the hosts they are reached by."""

from django.db import models
from django_tenants.models import DomainMixin, TenantMixin


class Tenant(TenantMixin):  # type: ignore[misc]
    """A customer, with a schema of his own."""

    name = models.TextField()
    auto_create_schema = True


class Host(DomainMixin):  # type: ignore[misc]
    """A name that leads to a tenant."""

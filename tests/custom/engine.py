"""The documented recipe for more columns: a model and a store, in one engine module."""

from django.db import models

from django_sessions_plus.backends.db import SessionStore as DatabaseStore
from django_sessions_plus.base_session import AbstractSession


class DeviceSession(AbstractSession):
    """A session that belongs to a tenant and an account; both follow its data."""

    tenant = models.CharField(max_length=20, blank=True, default="")
    account_id = models.BigIntegerField(null=True, db_index=True)
    note = models.CharField(max_length=40, blank=True, default="")
    """Written by nobody but the project."""


class SessionStore(DatabaseStore):
    """Keep sessions in ``DeviceSession`` rows."""

    @classmethod
    def get_model_class(cls):
        """Return the model of the rows."""
        return DeviceSession

    def extra_columns(self, data):
        """Return the columns that follow the data."""
        return {"tenant": data.get("tenant", ""), "account_id": data.get("account")}

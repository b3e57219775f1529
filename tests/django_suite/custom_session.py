"""The models of Django's session tests, written with our recipe for more columns.

It takes the place of sessions_tests/models.py and promises the same: a column
that holds the account, and sessions of one day.
"""

from django.db import models

from django_sessions_plus.backends.db import SessionStore as DatabaseStore
from django_sessions_plus.base_session import AbstractSession


class CustomSession(AbstractSession):
    account_id = models.IntegerField(null=True, db_index=True)

    @classmethod
    def get_session_store_class(cls):
        return SessionStore


class SessionStore(DatabaseStore):
    @classmethod
    def get_model_class(cls):
        return CustomSession

    def extra_columns(self, data):
        try:
            return {"account_id": int(data.get("_auth_user_id"))}
        except (ValueError, TypeError):
            return {"account_id": None}

    def get_session_cookie_age(self):
        return 60 * 60 * 24

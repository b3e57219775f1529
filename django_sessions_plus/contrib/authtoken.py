"""For ``rest_framework.authtoken``, and djoser, which uses it: its tokens go on as sessions of this package.

In the place of ``rest_framework.authentication.TokenAuthentication``. A subclass of your own gets this one as its
base: its keyword and model, and what it judges in ``authenticate_credentials()``, stay as they are.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from django.apps import apps
from django.db import models
from rest_framework import authentication

from django_sessions_plus.contrib.tokens import ImportedTokenAuthentication, watch


class TokenAuthentication(ImportedTokenAuthentication, authentication.TokenAuthentication):
    """Authenticate by ``Authorization: Token <key>``; one query, and some more at the first use of a key."""

    package: ClassVar[Literal["authtoken"]] = "authtoken"

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Watch the model of a subclass, so that a token that is deleted there ends its session here."""
        super().__init_subclass__(**kwargs)
        model: Any = cls.model
        if model is not None:
            # Django sends the signal for the model by which a row is deleted: a proxy, or the one with the table.
            for each in (model._meta.concrete_model, model):
                watch("authtoken", each._meta.label)

    def token_model(self) -> type[models.Model]:
        """Return the model of the tokens."""
        found: type[models.Model] = self.get_model()
        return found


# Without that app its model is abstract: a project has one of its own then, and Django reports a receiver for a
# model that there is not (signals.E001).
if apps.is_installed("rest_framework.authtoken"):
    watch("authtoken", "authtoken.Token")

"""What ``contrib.authtoken`` and ``contrib.knox`` have in common: a token of another package opens a session of ours.

The package judges a token when it is first used. From then on there is a session, found by a digest of the token,
with the rules of every session: it is listed, it can be ended, and one query loads it with its user.

Nothing of ``switching`` that has tables is imported here: they may be dropped while such sessions go on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from importlib import import_module
from typing import Any, ClassVar, Literal

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.db import models
from django.db.models.signals import post_delete
from django.http import Http404
from django.urls import URLResolver, get_resolver
from django.views.decorators.debug import sensitive_variables
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import APIException, AuthenticationFailed
from rest_framework.request import Request
from rest_framework.settings import api_settings

from django_sessions_plus import sessions
from django_sessions_plus.accounts.failed_sign_ins import log_refused_credential
from django_sessions_plus.api.bearer import authenticate_session, refusal
from django_sessions_plus.api.errors import (
    InvalidTokenError,
    SessionEndedError,
    UnavailableError,
)
from django_sessions_plus.api.requests import put_session
from django_sessions_plus.backends import foreign
from django_sessions_plus.backends.configured import own_engine
from django_sessions_plus.backends.importing import delete_in_source
from django_sessions_plus.backends.session import SessionStore
from django_sessions_plus.base_session import AbstractSession
from django_sessions_plus.conf import config
from django_sessions_plus.switching.sources.tokens import MODELS, TokenSource, is_own_deletion

# A longer one, or one with other characters, is no token of any package, and some databases fail on it.
_WELL_FORMED = re.compile(rb"[!-~]{1,256}")

# What else REST framework answers, with which a class of the project may refuse a request.
_ERRORS = (APIException, PermissionDenied, Http404)


class ImportedTokenAuthentication(BaseAuthentication):
    """The base class for tokens of another package; to be listed before the class of that package.

    While ``SESSION_ENGINE`` is another engine, the package answers alone. So it does for tokens that belong to
    another model than that of the users.
    """

    package: ClassVar[Literal["authtoken", "knox"]]
    """The entry in ``SESSIONS_PLUS_IMPORT_FROM``."""

    def authenticate(self, request: Request) -> tuple[Any, Any] | None:
        """Return the user and the session of the token; None if the request has none of this scheme.

        Raises:
            AuthenticationFailed: it is no token, and its package or we refuse it.
            SessionEndedError: its session has ended.
            UnavailableError: the table of the package cannot be read.
        """
        if own_engine() is None or not self._is_presented(request):
            return super().authenticate(request)
        source = TokenSource(self.package, self.token_model())
        if not source.is_of_users:
            return super().authenticate(request)
        store = put_session(request._request, transport="token")
        # The token is in no local variable, because error reports show those.
        digest = self._digest_of_presented(request, source)
        row = foreign.find(store, digest) or self._imported(request, store, source, digest)
        foreign.open_row(store, row)
        try:
            found = authenticate_session(request, store)
        except SessionEndedError:
            if store.inactive_row is not None:
                # It may only have expired here, and the package's own sign-in would return it again.
                delete_in_source(row, store.rows.alias)
            raise
        self.note_use(store, found[1])
        return found

    def token_model(self) -> type[models.Model]:
        """Return the model of the package's tokens."""
        raise NotImplementedError("a class for tokens must name their model")

    def value_of(self, token: str) -> str:
        """Return what stands for ``token`` in its table."""
        return token

    def expiry_of(self, token: Any) -> datetime | None:
        """Return when a row of the package's table expires; None if never. Asked once, when the token is imported."""
        return None

    def note_use(self, store: SessionStore, row: AbstractSession) -> None:
        """Do what the package does for each request with a valid token."""

    def _is_presented(self, request: Request) -> bool:
        """Return whether the header has one credential of this scheme. The package has words for what is amiss.

        Raises:
            InvalidTokenError: it has characters that no token has.
        """
        parts = get_authorization_header(request).split()
        scheme = str(self.authenticate_header(request)).lower().encode()
        if len(parts) != 2 or parts[0].lower() != scheme:
            return False
        if _WELL_FORMED.fullmatch(parts[1]) is None:
            raise refusal(request, InvalidTokenError())
        return True

    @sensitive_variables()
    def _digest_of_presented(self, request: Request, source: TokenSource) -> str:
        token = get_authorization_header(request).split()[1].decode("ascii")
        return source.digest_of(self.value_of(token))

    def _imported(
        self, request: Request, store: SessionStore, source: TokenSource, digest: str
    ) -> AbstractSession:
        if self.package not in config.IMPORT_FROM:
            raise refusal(request, InvalidTokenError())
        switch = import_module("django_sessions_plus.switching.token_import")
        ask_package = super().authenticate

        def find() -> Any:
            return self._as_old_token(ask_package(request), switch.OldToken, source.column)

        try:
            row: Any = switch.import_token(
                store, source, digest, find, refusals=AuthenticationFailed, errors=_ERRORS
            )
        except AuthenticationFailed:
            log_refused_credential(request._request, "unknown")
            raise
        if row is switch.FAILED:
            raise UnavailableError
        if row is None:
            raise refusal(request, InvalidTokenError())
        found: AbstractSession = row
        return found

    @sensitive_variables()
    def _as_old_token(self, found: tuple[Any, Any] | None, kind: Any, column: str) -> Any:
        if found is None:
            return None
        user, token = found
        return kind(
            user=user,
            key=getattr(token, column),
            created_at=getattr(token, "created", None),
            expires_at=self.expiry_of(token),
        )


def is_read(package: str) -> bool:
    """Return whether a view reads the tokens of ``package`` by our class: one of its own, or the default."""
    defaults = api_settings.DEFAULT_AUTHENTICATION_CLASSES
    classes = {*defaults, *(_classes_of_views(get_resolver()) if settings.ROOT_URLCONF else ())}
    return any(
        isinstance(each, type)
        and issubclass(each, ImportedTokenAuthentication)
        and each.package == package
        for each in classes
    )


def _classes_of_views(resolver: URLResolver) -> Iterator[Any]:
    for pattern in resolver.url_patterns:
        if isinstance(pattern, URLResolver):
            yield from _classes_of_views(pattern)
            continue
        view: Any = getattr(pattern.callback, "cls", None)
        given = getattr(pattern.callback, "initkwargs", {})
        yield from given.get("authentication_classes", getattr(view, "authentication_classes", ()))


def watch(package: str, label: str) -> None:
    """End the session of a token when its row is deleted: by a view of the package, the admin, or a cascade.

    ``label`` is that of the model, ``app.Model``. SQL and ``_raw_delete()`` send no signal.
    """
    MODELS[package, label] = None

    @sensitive_variables()
    def end(instance: Any, **kwargs: Any) -> None:
        if is_own_deletion():
            return
        source = TokenSource(package, type(instance))
        digest = source.digest_of(getattr(instance, source.column))
        rows = sessions.session_model().objects.filter(token_digest=digest)
        sessions.revoke_many(rows.for_writing())

    uid = f"django_sessions_plus.contrib.{package}.{label}"
    post_delete.connect(end, sender=label, weak=False, dispatch_uid=uid)

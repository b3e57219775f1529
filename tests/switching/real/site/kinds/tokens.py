"""Tokens that never change: those of rest_framework.authtoken and of django-rest-knox."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from datetime import timedelta
from threading import Barrier
from typing import Any, ClassVar

from tests.switching.real.site import plan
from tests.switching.real.site.asking import ask, or_nobody
from tests.switching.real.site.kinds.base import PASSWORD, Kind
from tests.switching.real.site.plan import Visit


class Authtoken(Kind):
    """Tokens of rest_framework.authtoken: one for each user, stored in clear, which never expires."""

    model_label: ClassVar[str] = "authtoken.Token"
    column: ClassVar[str] = "key"
    package: ClassVar[str] = "authtoken"
    is_one_per_user: ClassVar[bool] = True

    logged = "A credential that opens nothing was refused"

    def visits(self, count: int) -> Iterator[Visit]:
        """See Kind."""
        return plan.tokens_of(count, is_one_per_user=self.is_one_per_user)

    def answer(self, address: str, visit: Visit, barrier: Barrier) -> Any:
        """See Kind."""
        return or_nobody(*ask(address, "/who", _headers(visit), barrier=barrier))

    def left(self, living: int, *, is_kept: bool) -> int | None:
        """Return all: the row of a token stays as long as the session is active."""
        return living

    def lines(self, broken: int) -> int:
        """Return at most ten, because no more are written in a minute for one address."""
        return min(broken, 10)

    def begin(self, visit: Visit) -> None:
        """Sign in an app by the view of the package."""
        from django.test import Client

        credentials = b64encode(f"{visit.user}:{PASSWORD}".encode()).decode()
        answer = Client(headers={"Authorization": f"Basic {credentials}"}).post(
            "/token", {"username": visit.user, "password": PASSWORD}
        )
        assert answer.status_code == 200, answer.content
        visit.cookie = answer.json()["token"]
        found = Client().get("/who", headers=_headers(visit)).json()
        assert found == {"user": visit.user, "data": {}}

    def expire(self, visit: Visit) -> None:
        """Delete the row, as the view of djoser does: a token that never expires can only be signed out."""
        assert self._rows(visit.cookie).delete()[0] == 1

    def damage(self, visit: Visit, number: int) -> None:
        """Give the app another token: with a character changed, cut, lengthened, or turned round."""
        token = visit.cookie
        last = "0" if token[-1] != "0" else "1"
        damaged = [token[:-1] + last, token[:-4], token + "0", token[::-1]]
        visit.cookie = damaged[number % len(damaged)]

    def digest(self, cookie: str) -> str:
        """Return that of the row which belongs to what the package has stored."""
        from django_sessions_plus import tokens

        return tokens.foreign_digest(f"{self.package}:{self.model_label}", self._stored(cookie))

    def is_left(self, cookie: str) -> bool:
        """See Kind."""
        found: bool = self._rows(cookie).exists()
        return found

    def _rows(self, token: str) -> Any:
        from django.apps import apps

        model: Any = apps.get_model(self.model_label)
        return model.objects.filter(**{self.column: self._stored(token)})

    def _stored(self, token: str) -> str:
        return token


class Knox(Authtoken):
    """Tokens of django-rest-knox: several for each user, of which a digest is stored, and which expire."""

    model_label = "knox.AuthToken"
    column = "digest"
    package = "knox"
    is_one_per_user = False

    def expire(self, visit: Visit) -> None:
        """See Kind."""
        from django.utils import timezone

        past = timezone.now() - timedelta(seconds=1)
        assert self._rows(visit.cookie).update(expiry=past) == 1

    def _stored(self, token: str) -> str:
        from knox.crypto import hash_token

        return str(hash_token(token))


def _headers(visit: Visit) -> dict[str, str]:
    return {"Authorization": f"Token {visit.cookie}", **visit.headers}

"""The user as an access token tells it, for services that do not ask the database."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError

from django_sessions_plus.jwt.access import Claims
from django_sessions_plus.jwt.claims import RESERVED


class TokenUser:
    """Somebody who was signed in when the token was issued, with what it says of them as attributes.

    Claims of ``SESSIONS_PLUS_JWT_CLAIMS`` are read as they were then: ``user.email``. What the
    token does not say is an ``AttributeError``, and what is defined here it cannot say
    otherwise. Equal to the user of the same key; it cannot be saved.
    """

    is_active = True
    is_authenticated = True
    is_anonymous = False

    def __init__(self, claims: Claims) -> None:
        self.pk = _key(claims.user_id)
        self._claims = {name: claims.all[name] for name in claims.all.keys() - RESERVED}

    @property
    def id(self) -> Any:
        """The primary key, in the type of the user model's."""
        return self.pk

    @property
    def is_staff(self) -> bool:
        """Whether a claim says so."""
        return self._claims.get("is_staff") is True

    @property
    def is_superuser(self) -> bool:
        """Whether a claim says so."""
        return self._claims.get("is_superuser") is True

    def get_username(self) -> str:
        """Return the name to sign in with, if a claim has it; else an empty text."""
        name = get_user_model().USERNAME_FIELD
        return str(self._claims.get(name, self._claims.get("username", "")))

    def has_perm(self, perm: str, obj: Any = None) -> bool:
        """Tell that no permission is known: those are in the database."""
        return False

    def has_perms(self, perm_list: Any, obj: Any = None) -> bool:
        """See has_perm()."""
        return not list(perm_list)

    def has_module_perms(self, app_label: str) -> bool:
        """See has_perm()."""
        return False

    def __getattr__(self, name: str) -> Any:
        # By vars(): a copy that is being made has no claims yet.
        try:
            return vars(self)["_claims"][name]
        except KeyError:
            raise AttributeError(f"the access token says nothing of {name!r}") from None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, (TokenUser, get_user_model())):
            return NotImplemented
        return bool(self.pk == other.pk)

    def __hash__(self) -> int:
        return hash(self.pk)

    def __str__(self) -> str:
        return self.get_username() or str(self.pk)

    def __repr__(self) -> str:
        return f"<TokenUser: {self.pk}>"


def _key(text: str) -> Any:
    """Return a key in the type of the user's; the text where it cannot be one."""
    try:
        return get_user_model()._meta.pk.to_python(text)
    except ValidationError:
        return text

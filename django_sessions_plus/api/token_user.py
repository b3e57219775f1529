"""A user from the claims of an access token, for services that make no query."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError

from django_sessions_plus.jwt.access import Claims
from django_sessions_plus.jwt.claims import RESERVED


class TokenUser:
    """The user who was signed in when the token was issued, with its claims as attributes.

    The claims of ``SESSIONS_PLUS_JWT_CLAIMS`` have the values of that time: ``user.email``. A missing
    claim is an ``AttributeError``, and a claim cannot replace an attribute of this class. Equal to the
    user with the same primary key; cannot be saved.
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
        """Return the sign-in name, if a claim has it; else an empty text."""
        name = get_user_model().USERNAME_FIELD
        return str(self._claims.get(name, self._claims.get("username", "")))

    def has_perm(self, perm: str, obj: Any = None) -> bool:
        """Return False: permissions are in the database."""
        return False

    def has_perms(self, perm_list: Any, obj: Any = None) -> bool:
        """See has_perm()."""
        return not list(perm_list)

    def has_module_perms(self, app_label: str) -> bool:
        """See has_perm()."""
        return False

    def __getattr__(self, name: str) -> Any:
        # vars(), because copy() asks for attributes before the claims are set.
        try:
            return vars(self)["_claims"][name]
        except KeyError:
            raise AttributeError(f"the access token has no claim {name!r}") from None

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
    """Return a key in the type of the user model's; the text itself if it is no valid key."""
    try:
        return get_user_model()._meta.pk.to_python(text)
    except ValidationError:
        return text

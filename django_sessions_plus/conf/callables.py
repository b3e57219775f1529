"""Read the settings whose value may be a callable, or the dotted path of one."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from django.utils.module_loading import import_string

from django_sessions_plus.conf import PREFIX, Audience, Config, Keys, config
from django_sessions_plus.conf.kinds import (
    Lifetimes,
    is_audience,
    is_count,
    is_key_list,
    is_lifetimes,
    is_text,
)
from django_sessions_plus.exceptions import ConfigurationError


def lifetimes() -> Lifetimes:
    """Return the timeouts of single transports, which override the general ones; empty if there are none.

    Raises:
        ConfigurationError: the path leads to no callable, or the callable gives something else.
    """
    value = config.LIFETIMES
    if isinstance(value, str):
        value = _imported("LIFETIMES", value)
        if not callable(value):
            raise ConfigurationError(f"{PREFIX}LIFETIMES names something that is no callable.")
    if callable(value):
        value = value()
        if not is_lifetimes(value):
            wants = Config.LIFETIMES.kind.wants
            raise ConfigurationError(
                f"{PREFIX}LIFETIMES must be {wants}; its callable gives {value!r}."
            )
    return value or {}


def max_per_user(user: Any) -> int | None:
    """Return how many sessions ``user`` may have at once, or None for no limit.

    Raises:
        ConfigurationError: the path cannot be imported, or the callable returns neither a count nor None.
    """
    limit = _imported("MAX_PER_USER", config.MAX_PER_USER)
    if callable(limit):
        limit = limit(user)
    if limit is not None and not is_count(limit):
        raise ConfigurationError(
            f"{PREFIX}MAX_PER_USER must give a whole number above zero or None; it gave {limit!r}."
        )
    number: int | None = limit
    return number


def jwt_issuer(request: Any = None) -> str:
    """Return the issuer of access tokens for ``request``; None stands for no request.

    Raises:
        ConfigurationError: the callable gives no text.
    """
    issuer: str = _called("JWT_ISSUER", config.JWT_ISSUER, request, is_text)
    return issuer


def jwt_audience(request: Any = None) -> Audience:
    """Return the audience of access tokens for ``request``; see ``jwt_issuer()``."""
    audience: Audience = _called("JWT_AUDIENCE", config.JWT_AUDIENCE, request, is_audience)
    return audience


def jwt_keys(request: Any = None) -> Keys:
    """Return the entries of the keys for ``request``; see ``jwt_issuer()``.

    Raises:
        ConfigurationError: the path cannot be imported, or the callable gives something else.
    """
    value = _imported("JWT_KEYS", config.JWT_KEYS)
    keys: Keys = _called("JWT_KEYS", value, request, is_key_list)
    return keys


def user_language(user: Any) -> str | None:
    """Return the code of the language for messages to ``user``; None for the site's language.

    Raises:
        ConfigurationError: the path cannot be imported.
    """
    find = _imported("USER_LANGUAGE", config.USER_LANGUAGE)
    return None if find is None else find(user)


def user_fields() -> Sequence[str] | Callable[[Any], Mapping[str, Any]]:
    """Return the names of the user fields that the API shows, or the callable that returns the fields.

    Raises:
        ConfigurationError: the path cannot be imported.
    """
    found: Sequence[str] | Callable[[Any], Mapping[str, Any]]
    found = _imported("USER_FIELDS", config.USER_FIELDS)
    return found


def sign_in_hook() -> Callable[[Any, Any], Any]:
    """Return the callable of ``SIGN_IN``, which decides whether a password is enough; for False, the default one.

    Raises:
        ConfigurationError: the path cannot be imported, or leads to nothing that can be called.
    """
    value = config.SIGN_IN
    # False removes the sign-in endpoint, but a password can still make a session fresh.
    found = _imported("SIGN_IN", Config.SIGN_IN.default if value is False else value)
    if not callable(found):
        raise ConfigurationError(f"{PREFIX}SIGN_IN is {value!r}, where there is no callable.")
    hook: Callable[[Any, Any], Any] = found
    return hook


def _called(name: str, value: Any, request: Any, accepts: Callable[[Any], bool]) -> Any:
    """Return ``value``; if it is a callable, its result for ``request``."""
    if not callable(value):
        return value
    found = value(request)
    if not accepts(found):
        # Not the value, which may contain a secret.
        raise ConfigurationError(f"The callable of {PREFIX}{name} gives a {type(found).__name__}.")
    return found


def _imported(name: str, value: Any) -> Any:
    """Return the object at a dotted path; any other value is returned unchanged."""
    try:
        return import_string(value) if isinstance(value, str) else value
    except ImportError as exc:
        raise ConfigurationError(f"{PREFIX}{name}: {exc}") from exc

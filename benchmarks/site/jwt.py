"""What the contenders with JWTs need beside their settings. Imported only by name, in a worker."""

from importlib import import_module
from typing import Any


def __getattr__(name: str) -> Any:
    """Make a class when it is asked for: each contender has but one of the packages installed."""
    if name == "CheckedToken":
        return _checked_token()
    raise AttributeError(name)


def _checked_token() -> type[Any]:
    """Return an access token that is looked up among the revoked ones, as only refresh tokens are."""
    tokens: Any = import_module("rest_framework_simplejwt.tokens")
    return type("CheckedToken", (tokens.BlacklistMixin, tokens.AccessToken), {})

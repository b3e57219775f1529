"""Which URLs tokens may be sent to: those with the origin of the base URL. No I/O."""

from __future__ import annotations

import warnings
from ipaddress import ip_address

import httpx


def base_of(url: str | httpx.URL) -> httpx.URL:
    """Return the base URL of the endpoints, with a slash at the end.

    Raises:
        ValueError: it has another scheme than HTTP, no host, or a query or credentials.
        httpx.InvalidURL: it is no URL.
    """
    base = httpx.URL(url)
    is_plain = base.host and not base.userinfo and not base.query
    if base.scheme not in ("http", "https") or not is_plain:
        raise ValueError("base_url is where the API is, such as https://example.com/auth/")
    return base.copy_with(path=f"{base.path.rstrip('/')}/", fragment=None)


def warn_of_plain_http(base: httpx.URL, stacklevel: int) -> None:
    """Warn if tokens would be sent over plain HTTP; ``stacklevel`` is that of ``warnings.warn()``."""
    if base.scheme == "http" and not _is_loopback(base.host):
        warnings.warn(
            f"{base.host} is asked for tokens over plain HTTP, where they can be read on the way.",
            stacklevel=stacklevel + 1,
        )


def is_same_origin(url: httpx.URL, other: httpx.URL) -> bool:
    """Return whether two URLs have the same scheme, host and port."""
    return _origin(url) == _origin(other)


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port or {"http": 80, "https": 443}.get(url.scheme)


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False

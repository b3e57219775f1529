"""Advice for developers, shown only with ``DEBUG``: which setting is missing if the CSRF check fails."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest


def advice(reason: str, http_request: HttpRequest) -> str:
    """Return Django's reason as full sentences, with the settings to check."""
    return f"{reason} {_remedy(reason, http_request)}".strip()


def _remedy(reason: str, http_request: HttpRequest) -> str:
    meta = http_request.META
    if reason.startswith("Origin checking failed"):
        origin = meta.get("HTTP_ORIGIN", "")
        host = meta.get("HTTP_HOST") or meta.get("SERVER_NAME", "")
        return (
            f"The request was sent to the host {host!r} by a page of {origin!r}."
            f" Add {origin!r} to CSRF_TRUSTED_ORIGINS, or have the proxy before Django keep the header Host"
            " (with Vite: changeOrigin: false)."
        )
    if reason.startswith("Referer checking failed"):
        return (
            "Add the page's origin to CSRF_TRUSTED_ORIGINS; if a proxy ends HTTPS before Django,"
            " SECURE_PROXY_SSL_HEADER must tell so."
        )
    if reason == "CSRF cookie not set.":
        return (
            "GET session sets it. If the browser does not send it: CSRF_COOKIE_SECURE must be False over http;"
            " a page of another origin needs fetch with credentials, and of another site"
            " CSRF_COOKIE_SAMESITE = 'None' with CSRF_COOKIE_SECURE."
        )
    name = settings.CSRF_HEADER_NAME.removeprefix("HTTP_").replace("_", "-").title()
    return f"Send the token of the last GET session in the header {name} (CSRF_HEADER_NAME)."

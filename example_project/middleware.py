"""The site's Content-Security-Policy header.

Django 6 brings ``django.middleware.csp.ContentSecurityPolicyMiddleware`` with the setting
``SECURE_CSP``; a site that no longer needs Django 5.2 should use those.
"""

from collections.abc import Awaitable, Callable
from inspect import iscoroutinefunction
from secrets import token_urlsafe
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase
from django.utils.decorators import sync_and_async_middleware

# Everything from this site and nothing inline: a page into which somebody manages to write
# HTML still runs no script. The admin works under it.
POLICY = (
    "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)
# The package's own pages need no script at all, so they may have none.
PAGES = "django_sessions_plus"
STRICTEST_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)


class Nonce:
    """A word of this answer alone, for the inline scripts that bear it; made when it is used."""

    value = ""

    def __str__(self) -> str:
        self.value = self.value or token_urlsafe(16)
        return self.value


@sync_and_async_middleware
def content_security_policy(get_response: Callable[[HttpRequest], Any]) -> Callable[..., Any]:
    """Send a policy with every answer."""
    if iscoroutinefunction(get_response):

        async def asynchronous(request: HttpRequest) -> HttpResponseBase:
            request.csp_nonce = nonce = Nonce()  # type: ignore[attr-defined]
            answer: Awaitable[HttpResponseBase] = get_response(request)
            return _with_policy(request, await answer, nonce)

        return asynchronous

    def synchronous(request: HttpRequest) -> HttpResponseBase:
        request.csp_nonce = nonce = Nonce()  # type: ignore[attr-defined]
        return _with_policy(request, get_response(request), nonce)

    return synchronous


def _with_policy(
    request: HttpRequest, response: HttpResponseBase, nonce: Nonce
) -> HttpResponseBase:
    # Django's error pages for developers are made of inline styles and scripts.
    if not (settings.DEBUG and response.status_code >= 400):
        scripts = f"; script-src 'self' 'nonce-{nonce}'" if nonce.value else ""
        response.headers.setdefault("Content-Security-Policy", _policy_for(request) + scripts)
    return response


def _policy_for(request: HttpRequest) -> str:
    match = request.resolver_match
    return STRICTEST_POLICY if match is not None and match.app_name == PAGES else POLICY

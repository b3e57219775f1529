"""The site's Content-Security-Policy header.

Django 6 brings ``django.middleware.csp.ContentSecurityPolicyMiddleware`` with the setting
``SECURE_CSP``; a site that no longer needs Django 5.2 should use those.
"""

from collections.abc import Awaitable, Callable
from inspect import iscoroutinefunction
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase
from django.utils.decorators import sync_and_async_middleware

# Everything from this site and nothing inline: a page into which somebody manages to write
# HTML still runs no script. The admin works under it, and so do the package's own pages.
POLICY = (
    "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)


@sync_and_async_middleware
def content_security_policy(get_response: Callable[[HttpRequest], Any]) -> Callable[..., Any]:
    """Send ``POLICY`` with every answer."""
    if iscoroutinefunction(get_response):

        async def asynchronous(request: HttpRequest) -> HttpResponseBase:
            answer: Awaitable[HttpResponseBase] = get_response(request)
            return _with_policy(await answer)

        return asynchronous

    def synchronous(request: HttpRequest) -> HttpResponseBase:
        return _with_policy(get_response(request))

    return synchronous


def _with_policy(response: HttpResponseBase) -> HttpResponseBase:
    # Django's error pages for developers are made of inline styles and scripts.
    if not (settings.DEBUG and response.status_code >= 400):
        response.headers.setdefault("Content-Security-Policy", POLICY)
    return response

"""Template tags that load the browser client in a page.

URLs are those of the project's static files, so that a CDN and hashed names work; a file whose
name has no hash gets the package's version as query. Each tag has the CSP nonce of the page: the
argument ``nonce``, else ``csp_nonce`` of the context (Django 6), else of the request.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from django import template
from django.template import Context, TemplateSyntaxError
from django.templatetags.static import static
from django.urls import reverse
from django.utils.html import format_html, json_script
from django.utils.safestring import SafeString, mark_safe

from django_sessions_plus.api.pairs import APP_NAME
from django_sessions_plus.api.serializers import start_value

register = template.Library()

DIRECTORY = "django_sessions_plus"
NAMES = {
    "django-sessions-plus": "client.js",
    "django-sessions-plus/compat": "compat.js",
    "django-sessions-plus/list": "list.js",
    "django-sessions-plus/react": "react.js",
}
"""The names that pages import, the same as in the npm package, and their files."""

PARTS = (
    *("tokens.js", "recover.js", "tabs.js", "watch.js", "verbs.js", "fetch.js", "idle.js"),
    *("client.js", "list.js", "server.js"),
)
"""The files that the modules import from each other."""

# A "</script>" in a URL would end the element, although it is inside a JSON text.
_ESCAPES = {ord(sign): f"\\u{ord(sign):04X}" for sign in "<>&"}


@register.simple_tag(takes_context=True)
def session_client_importmap(
    context: Context, *names_and_urls: str, nonce: str | None = None
) -> SafeString:
    """Return the import map of the client; more names can be given, each followed by its URL.

    A page can have one import map, before its first module, so give all names here::

        {% static "vendor/react.js" as react %}
        {% session_client_importmap "react" react %}

    Raises:
        TemplateSyntaxError: a name has no URL.
    """
    if len(names_and_urls) % 2:
        raise TemplateSyntaxError("session_client_importmap takes names and addresses in turn")
    pairs = zip(names_and_urls[::2], names_and_urls[1::2], strict=True)
    text = json.dumps({"imports": {**_own_imports(), **dict(pairs)}})
    return format_html(
        '<script type="importmap"{}>{}</script>',
        _nonce(context, nonce),
        # Safe: characters that have a meaning in HTML are escaped in JSON.
        mark_safe(text.translate(_ESCAPES)),  # noqa: S308
    )


@register.simple_tag(takes_context=True)
def session_client_module(
    context: Context, path: str = f"{DIRECTORY}/client.js", *, nonce: str | None = None
) -> SafeString:
    """Return the ``<script>`` element of a module among the static files (default: the client)."""
    return format_html(
        '<script type="module" src="{}"{}></script>', _address(path), _nonce(context, nonce)
    )


@register.simple_tag(takes_context=True)
def session_client_value(context: Context, element_id: str) -> SafeString:
    """Return an element with the current session as JSON, for the client's ``initialSession``."""
    return json_script(start_value(context["request"]), element_id)


@register.simple_tag
def session_api_url(namespace: str = APP_NAME) -> str:
    """Return the path where the API is mounted, including the site's subpath, for the client's ``baseUrl``.

    Give ``namespace`` if your ``include()`` sets another one.
    """
    return reverse(f"{namespace}:session").removesuffix("session")


def _own_imports() -> dict[str, str]:
    client = static(f"{DIRECTORY}/client.js")
    beside = client.partition("?")[0].rpartition("/")[0]
    names = {name: _address(f"{DIRECTORY}/{file}") for name, file in NAMES.items()}
    # The client's relative imports are resolved to these URLs.
    return names | {f"{beside}/{file}": _address(f"{DIRECTORY}/{file}") for file in PARTS}


def _address(path: str) -> str:
    address = static(path)
    is_named_by_content = not address.partition("?")[0].endswith(path)
    if is_named_by_content or not path.startswith(f"{DIRECTORY}/"):
        return address
    return f"{address}{'&' if '?' in address else '?'}v={_version()}"


@cache
def _version() -> str:
    package = Path(__file__).parent.parent / "static" / DIRECTORY / "package.json"
    version: str = json.loads(package.read_text())["version"]
    return version


def _nonce(context: Context, given: str | None) -> SafeString:
    # Compared with None, because Django's nonce is falsy until it is first used.
    for nonce in (given, context.get("csp_nonce"), _of_request(context)):
        if nonce is not None and str(nonce):
            return format_html(' nonce="{}"', nonce)
    return mark_safe("")


def _of_request(context: Context) -> Any:
    return getattr(context.get("request"), "csp_nonce", None)

"""Template tags that bring the browser client into a page.

Addresses are those of the project's static files, so that a CDN and hashed names work; a file
whose name has no hash gets the package's version as query. Each tag has the CSP nonce of the
page: the argument ``nonce``, else ``csp_nonce`` of the context (Django 6), else of the request.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from django import template
from django.template import Context, TemplateSyntaxError
from django.templatetags.static import static
from django.utils.html import format_html, json_script
from django.utils.safestring import SafeString, mark_safe

from django_sessions_plus.api.rendering import start_value

register = template.Library()

DIRECTORY = "django_sessions_plus"
NAMES = {"django-sessions-plus": "client.js", "django-sessions-plus/react": "react.js"}
"""What pages import, as the package on npm has it."""

PARTS = ("tokens.js", "fetch.js", "idle.js")
"""What the client imports by itself."""

# An import map ends where HTML says so, whatever the JSON around it means.
_ESCAPES = {ord(sign): f"\\u{ord(sign):04X}" for sign in "<>&"}


@register.simple_tag(takes_context=True)
def session_client_importmap(
    context: Context, *names_and_urls: str, nonce: str | None = None
) -> SafeString:
    """Return the import map of the client, with further names and their addresses in turn.

    A page has one import map, before its first module: name there what else it imports::

        {% static "vendor/react.js" as react %}
        {% session_client_importmap "react" react %}
    """
    if len(names_and_urls) % 2:
        raise TemplateSyntaxError("session_client_importmap takes names and addresses in turn")
    pairs = zip(names_and_urls[::2], names_and_urls[1::2], strict=True)
    text = json.dumps({"imports": {**_own_imports(), **dict(pairs)}})
    return format_html(
        '<script type="importmap"{}>{}</script>',
        _nonce(context, nonce),
        # Safe: what HTML would act upon is written as JSON's escapes.
        mark_safe(text.translate(_ESCAPES)),  # noqa: S308
    )


@register.simple_tag(takes_context=True)
def session_client_module(
    context: Context, path: str = f"{DIRECTORY}/client.js", *, nonce: str | None = None
) -> SafeString:
    """Return the tag of a module among the static files: of the page's own, or the client's."""
    return format_html(
        '<script type="module" src="{}"{}></script>', _address(path), _nonce(context, nonce)
    )


@register.simple_tag(takes_context=True)
def session_client_value(context: Context, element_id: str) -> SafeString:
    """Return who is signed in, for the client's ``initialSession``, as JSON in an element."""
    return json_script(start_value(context["request"]), element_id)


def _own_imports() -> dict[str, str]:
    client = static(f"{DIRECTORY}/client.js")
    beside = client.partition("?")[0].rpartition("/")[0]
    names = {name: _address(f"{DIRECTORY}/{file}") for name, file in NAMES.items()}
    # By their addresses, as the client's own imports come out.
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
    # Compared with None: Django's nonce is false until it is first used.
    for nonce in (given, context.get("csp_nonce"), _of_request(context)):
        if nonce is not None and str(nonce):
            return format_html(' nonce="{}"', nonce)
    return mark_safe("")


def _of_request(context: Context) -> Any:
    return getattr(context.get("request"), "csp_nonce", None)

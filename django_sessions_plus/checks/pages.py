"""Checks of the devices page, where it is mounted."""

from django.apps import apps
from django.conf import settings
from django.contrib.gis.geoip2 import HAS_GEOIP2
from django.template import TemplateDoesNotExist
from django.template.loader import get_template

from django_sessions_plus.accounts.sign_in_page import (
    ADMIN_SIGN_IN,
    is_sign_in_url_broken,
    may_replace_sign_in_url,
)
from django_sessions_plus.checks.lookups import is_mounted
from django_sessions_plus.checks.registry import Problems, check, problem
from django_sessions_plus.pages.mixins import DEVICES

_TEMPLATE = "django_sessions_plus/devices.html"


@check()
def check_templates() -> Problems:
    """Find a page that cannot be shown."""
    if _is_mounted() and not _has_template():
        yield problem(
            "E027",
            f"django_sessions_plus.urls is mounted, and no template {_TEMPLATE!r} can be found.",
            "Add DjangoTemplates to TEMPLATES with 'APP_DIRS': True, or a loader for apps.",
        )
    elif _is_mounted() and not settings.STATIC_URL:
        yield problem(
            "E028",
            "django_sessions_plus.urls is mounted without STATIC_URL: its pages cannot name their style.",
            "Set STATIC_URL = 'static/'.",
        )


@check()
def check_sign_in_page() -> Problems:
    """Find pages that redirect to a sign-in page that does not exist."""
    if _is_mounted() and is_sign_in_url_broken():
        instead = (
            "The pages lead to the admin's sign-in instead, which lets in staff alone."
            if may_replace_sign_in_url() and is_mounted(ADMIN_SIGN_IN)
            else "Whoever is not signed in meets an error."
        )
        yield problem(
            "W035",
            f"django_sessions_plus.urls is mounted, and LOGIN_URL is {settings.LOGIN_URL!r}, which no"
            f" view of this site serves. {instead}",
            "Set LOGIN_URL to the address or the name of your sign-in page. Silence this check if a"
            " server before Django serves it.",
        )


@check()
def check_messages() -> Problems:
    """Find a page that cannot show the result of an action, because messages are not installed."""
    if _is_mounted() and not apps.is_installed("django.contrib.messages"):
        yield problem(
            "I006",
            "django_sessions_plus.urls is mounted without django.contrib.messages: nobody is told"
            " whether a session was ended.",
            "Install the app and its middleware.",
        )


@check()
def check_places() -> Problems:
    """Find a database of places that cannot be read."""
    if _is_mounted() and getattr(settings, "GEOIP_PATH", None) and not HAS_GEOIP2:
        yield problem(
            "W032",
            "GEOIP_PATH is set and the package geoip2 is not installed: the devices page shows no places.",
            "Install geoip2, or remove the setting.",
        )


def _is_mounted() -> bool:
    return is_mounted(DEVICES)


def _has_template() -> bool:
    try:
        get_template(_TEMPLATE)
    except TemplateDoesNotExist:
        return False
    return True

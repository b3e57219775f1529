"""Checks of the devices page, where it is mounted."""

from django.apps import apps
from django.conf import settings
from django.contrib.gis.geoip2 import HAS_GEOIP2
from django.template import TemplateDoesNotExist
from django.template.loader import get_template
from django.urls import NoReverseMatch, reverse

from django_sessions_plus.checks.registry import Problems, check, problem
from django_sessions_plus.page import DEVICES

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
def check_messages() -> Problems:
    """Find a page that cannot tell how an act went."""
    if _is_mounted() and not apps.is_installed("django.contrib.messages"):
        yield problem(
            "I006",
            "django_sessions_plus.urls is mounted without django.contrib.messages: nobody is told"
            " whether a session was ended.",
            "Install the app and its middleware.",
        )


@check()
def check_places() -> Problems:
    """Find a database of places that nothing can read."""
    if _is_mounted() and getattr(settings, "GEOIP_PATH", None) and not HAS_GEOIP2:
        yield problem(
            "W032",
            "GEOIP_PATH is set and the package geoip2 is not installed: the devices page shows no places.",
            "Install geoip2, or remove the setting.",
        )


def _is_mounted() -> bool:
    if not getattr(settings, "ROOT_URLCONF", None):
        return False
    try:
        reverse(DEVICES)
    except NoReverseMatch:
        return False
    return True


def _has_template() -> bool:
    try:
        get_template(_TEMPLATE)
    except TemplateDoesNotExist:
        return False
    return True

"""The place of an IP address, from the project's own database by ``django.contrib.gis.geoip2``.

Used only when sessions are shown, never in other requests. Without ``GEOIP_PATH`` every place is
empty; so it is after a lookup that fails, which is logged.
"""

from __future__ import annotations

import logging
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.contrib.gis import geoip2
from django.utils.translation import gettext

logger = logging.getLogger("django_sessions_plus")

# RuntimeError is the base class of the reader's errors: an unknown address, a broken file.
_FAILURES = (geoip2.GeoIP2Exception, RuntimeError, OSError, ValueError)


def place_of(ip_address: str | None) -> str:
    """Return the place as "City, Country", the country alone, or an empty string if unknown.

    For a truncated address it is the place of its network.
    """
    path = getattr(settings, "GEOIP_PATH", None)
    if not ip_address or not path:
        return ""
    city, country = _look_up(str(path), ip_address)
    if city and country:
        return gettext("%(city)s, %(country)s") % {"city": city, "country": country}
    return country or city


@lru_cache(maxsize=4096)
def _look_up(path: str, ip_address: str) -> tuple[str, str]:
    database = _database(path)
    if database is None:
        return "", ""
    try:
        found = (database.city if database.is_city else database.country)(ip_address)
    except _FAILURES:
        # Usually an address of a private network, which has no place.
        logger.debug("No place was found for an address", exc_info=True)
        return "", ""
    return found.get("city") or "", found.get("country_name") or ""


@lru_cache(maxsize=4)
def _database(path: str) -> Any:
    if not geoip2.HAS_GEOIP2:
        logger.warning(
            "GEOIP_PATH is set and the package geoip2 is not installed: no places are shown"
        )
        return None
    try:
        return geoip2.GeoIP2(path)
    except _FAILURES:
        logger.exception("The database of places cannot be read: no places are shown")
        return None

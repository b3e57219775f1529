"""Search sessions by their users, with any user model.

The users are searched first, and then the sessions by the users' keys. An index serves that, but
not a join with conditions on both tables; and the two tables may be in different databases.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.db import models
from django.db.models import Q, QuerySet
from django.utils.text import smart_split, unescape_string_literal

from django_sessions_plus.admin import bounds, networks
from django_sessions_plus.base_session import AbstractSession
from django_sessions_plus.bulk.time_limit import TimeIsUpError, time_limit
from django_sessions_plus.devices import parse_ip

MAX_KEYS = 1000

Sessions = QuerySet[AbstractSession]

# The beginning of an address: a number of IPv4 with a dot, or any part of IPv6 with a colon.
_IP_PREFIX = re.compile(r"\d{1,3}\.[\d.]*|[0-9a-f]{0,4}:[0-9a-f:]*", re.IGNORECASE)


def has_field(model: type[models.Model], name: str) -> bool:
    """Return whether ``name`` is a column of ``model``, and not only a property."""
    try:
        return bool(model._meta.get_field(name).concrete)
    except FieldDoesNotExist:
        return False


def search_fields(model: Any) -> list[str]:
    """Return the text columns of the user model that a search uses: its sign-in name and its e-mail."""
    names = dict.fromkeys([model.USERNAME_FIELD, getattr(model, "EMAIL_FIELD", "email")])
    columns = {field.name: field for field in model._meta.concrete_fields}
    texts = (models.CharField, models.TextField)
    return [name for name in names if isinstance(columns.get(name), texts)]


def search(queryset: Sessions, terms: str) -> Sessions:
    """Filter the sessions that match every term.

    A term is an IP address, a network, the beginning of an address, or part of a name.
    """
    names = []
    for term in map(_unquoted, smart_split(terms)):
        if address := parse_ip(term):
            queryset = queryset.filter(ip_address=str(address))
        elif network := networks.parse(term):
            queryset = networks.within(queryset, network)
        elif _IP_PREFIX.fullmatch(term):
            queryset = queryset.filter(ip_address__startswith=term.lower())
        else:
            names.append(term)
    return of_users(queryset, _named(names)) if names else queryset


def _unquoted(term: str) -> str:
    if term[0] in "\"'" and term[0] == term[-1]:
        return unescape_string_literal(term)
    return term


def _named(terms: Iterable[str]) -> Q:
    fields = search_fields(get_user_model())
    every = Q()
    for term in terms:
        any_field = Q(pk__in=[])
        for field in fields:
            any_field |= Q((f"{field}__icontains", term))
        every &= any_field
    return every


def of_users(queryset: Sessions, condition: Q, *, negated: bool = False) -> Sessions:
    """Filter the sessions of the users who meet ``condition`` (``negated``: of all others)."""
    people = (
        get_user_model()._base_manager.filter(condition).order_by().values_list("pk", flat=True)
    )
    keys: Any = None
    with suppress(TimeIsUpError), time_limit(people.db, bounds.SECONDS):
        keys = list(people[: MAX_KEYS + 1])
    if keys is None or len(keys) > MAX_KEYS:
        # With so many users, matching sessions are found soon in any order, so a subquery is fast enough.
        # If it took too long to find the users, the time of the list is limited as well.
        keys = people if people.db == queryset.db else list(people)
    if negated:
        return queryset.filter(user__isnull=False).exclude(user__in=keys)
    return queryset.filter(user__in=keys)


def find_user(key: Any) -> Any:
    """Return the user whose primary key is ``key``, perhaps as text, also an inactive one; or None."""
    if key is None:
        return None
    model = get_user_model()
    try:
        return model._base_manager.filter(pk=model._meta.pk.to_python(key)).first()
    except (ValidationError, ValueError, OverflowError):
        return None

"""Finding the people behind sessions, whatever the project's user model is.

The people are looked up first and the sessions by their keys: the index on the user
serves that, a join filtered on both sides it does not; and the two tables may live in
different databases.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.db import models
from django.db.models import Q, QuerySet
from django.utils.text import smart_split, unescape_string_literal

from django_sessions_plus.admin import networks
from django_sessions_plus.base_session import AbstractSession
from django_sessions_plus.devices import parse_ip

KEYS_AT_MOST = 1000

Sessions = QuerySet[AbstractSession]

# The beginning of an address: two numbers of IPv4, or anything of IPv6 that has a colon.
_IP_PREFIX = re.compile(r"\d{1,3}\.[\d.]*|[0-9a-f]{0,4}:[0-9a-f:]*", re.IGNORECASE)


def has_field(model: type[models.Model], name: str) -> bool:
    """Tell whether ``name`` is a column of ``model``, and not only a property."""
    try:
        return bool(model._meta.get_field(name).concrete)
    except FieldDoesNotExist:
        return False


def search_fields(model: Any) -> list[str]:
    """Return the text columns people of this user model are known by: its sign-in name and its e-mail."""
    names = dict.fromkeys([model.USERNAME_FIELD, getattr(model, "EMAIL_FIELD", "email")])
    return [name for name in names if _is_text(model, name)]


def _is_text(model: type[models.Model], name: str) -> bool:
    return has_field(model, name) and isinstance(
        model._meta.get_field(name), (models.CharField, models.TextField)
    )


def search(queryset: Sessions, terms: str) -> Sessions:
    """Keep the sessions that match every term.

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
    return of_people(queryset, _named(names)) if names else queryset


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


def of_people(queryset: Sessions, condition: Q, *, negated: bool = False) -> Sessions:
    """Keep the sessions of the people for whom ``condition`` holds (``negated``: of all others)."""
    people = (
        get_user_model()._base_manager.filter(condition).order_by().values_list("pk", flat=True)
    )
    keys: Any = list(people[: KEYS_AT_MOST + 1])
    if len(keys) > KEYS_AT_MOST:
        # So many people that their sessions turn up at once in any order: the database may choose.
        keys = people if people.db == queryset.db else list(people)
    if negated:
        return queryset.filter(user__isnull=False).exclude(user__in=keys)
    return queryset.filter(user__in=keys)


def person(key: Any) -> Any:
    """Return the user whose key is (or is written as) ``key``, inactive ones too, or None."""
    if key is None:
        return None
    model = get_user_model()
    try:
        return model._base_manager.filter(pk=model._meta.pk.to_python(key)).first()
    except (ValidationError, ValueError, OverflowError):
        return None

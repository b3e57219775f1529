"""The user a command's argument names, by the name they sign in with or by primary key."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ObjectDoesNotExist, ValidationError
from django.core.management.base import CommandError


def named(name: str) -> Any:
    """Return the user who signs in as ``name``.

    Raises:
        CommandError: there is none.
    """
    return _found(name, _by(get_user_model().USERNAME_FIELD, name))


def with_key(key: str) -> Any:
    """Return the user whose primary key is written as ``key``.

    Raises:
        CommandError: there is none.
    """
    return _found(key, _by("pk", key))


def meant_by(text: str) -> Any:
    """Return the user who has ``text`` as name or as primary key.

    Raises:
        CommandError: there is none, or one user has it as name and another as key.
    """
    by_name, by_key = _by(get_user_model().USERNAME_FIELD, text), _by("pk", text)
    if by_name is not None and by_key is not None and by_name.pk != by_key.pk:
        raise CommandError(
            f"{text!r} is the name of one user and the primary key of another: say which with"
            f" --user-id {by_name.pk} or --user-id {by_key.pk}."
        )
    return _found(text, by_key if by_name is None else by_name)


def add_person(parser: ArgumentParser) -> None:
    """Add the arguments that name one person, for ``person_of()``."""
    who = parser.add_mutually_exclusive_group(required=True)
    who.add_argument(
        "user",
        nargs="?",
        metavar="USERNAME|PK",
        help="the name to sign in with, or the primary key",
    )
    who.add_argument("--user-id", metavar="PK", help="the primary key")


def person_of(options: dict[str, Any]) -> Any:
    """Return the user whom the arguments of ``add_person()`` name.

    Raises:
        CommandError: there is none, or more than one.
    """
    if options["user_id"] is not None:
        return with_key(options["user_id"])
    return meant_by(options["user"])


def _by(column: str, value: str) -> Any:
    try:
        return get_user_model()._default_manager.get(**{column: value})
    except (ObjectDoesNotExist, OverflowError, ValidationError, ValueError):
        return None


def _found(text: str, user: Any) -> Any:
    if user is None:
        raise CommandError(f"There is no user {text!r}.")
    return user

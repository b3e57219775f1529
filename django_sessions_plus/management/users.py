"""Find the user that an argument of a command names, by sign-in name or by primary key."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ObjectDoesNotExist, ValidationError
from django.core.management.base import CommandError


def by_name(name: str) -> Any:
    """Return the user with this sign-in name.

    Raises:
        CommandError: there is none.
    """
    return _found(name, _user_by(get_user_model().USERNAME_FIELD, name))


def by_key(key: str) -> Any:
    """Return the user whose primary key is ``key`` as text.

    Raises:
        CommandError: there is none.
    """
    return _found(key, _user_by("pk", key))


def by_name_or_key(text: str) -> Any:
    """Return the user whose sign-in name or primary key is ``text``.

    Raises:
        CommandError: there is none, or it is the name of one user and the key of another.
    """
    user_by_name, user_by_key = (
        _user_by(get_user_model().USERNAME_FIELD, text),
        _user_by("pk", text),
    )
    if user_by_name is not None and user_by_key is not None and user_by_name.pk != user_by_key.pk:
        raise CommandError(
            f"{text!r} is the name of one user and the primary key of another: say which with"
            f" --user-id {user_by_name.pk} or --user-id {user_by_key.pk}."
        )
    return _found(text, user_by_key if user_by_name is None else user_by_name)


def add_user_arguments(parser: ArgumentParser) -> None:
    """Add the arguments that name one user, for ``chosen_user()``."""
    who = parser.add_mutually_exclusive_group(required=True)
    who.add_argument(
        "user",
        nargs="?",
        metavar="USERNAME|PK",
        help="the name to sign in with, or the primary key",
    )
    who.add_argument("--user-id", metavar="PK", help="the primary key")


def chosen_user(options: dict[str, Any]) -> Any:
    """Return the user whom the arguments of ``add_user_arguments()`` name.

    Raises:
        CommandError: there is none, or more than one.
    """
    if options["user_id"] is not None:
        return by_key(options["user_id"])
    return by_name_or_key(options["user"])


def _user_by(column: str, value: str) -> Any:
    try:
        return get_user_model()._default_manager.get(**{column: value})
    except (ObjectDoesNotExist, OverflowError, ValidationError, ValueError):
        return None


def _found(text: str, user: Any) -> Any:
    if user is None:
        raise CommandError(f"There is no user {text!r}.")
    return user

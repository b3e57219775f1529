"""Checks of the engine ``leased_db``: whether it can serve sessions from memory, and for how long."""

from collections.abc import Collection
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import DatabaseError, connections, router, transaction

from django_sessions_plus.backends.leased_db import SessionStore
from django_sessions_plus.backends.leasing import triggers
from django_sessions_plus.backends.leasing.database_channel import DatabaseChannel
from django_sessions_plus.backends.leasing.listening import PROCESS, channel_of, is_by_triggers
from django_sessions_plus.backends.leasing.redis_location import is_of_this_host, locate, why_none
from django_sessions_plus.checks.lookups import engine_of
from django_sessions_plus.checks.registry import Problems, check, database_check, problem
from django_sessions_plus.conf import PREFIX, config

LONG = timedelta(seconds=10)
"""How long a lease may be before it is warned of."""


@check()
def check_leases_are_possible() -> Problems:
    """Find a database that cannot announce what has ended."""
    model = _leased_model()
    if model is None:
        return
    alias = router.db_for_write(model)
    if _why_no_redis() is not None:
        # There is an error that says so.
        return
    reason = channel_of(model, alias).why_impossible()
    if (
        reason is None
        and is_by_triggers()
        and all(table.kind == "s" for table in triggers.tables_of(model))
    ):
        reason = "users are in another database than sessions"
    if reason is not None:
        yield problem(
            "W045",
            f"The engine leased_db cannot serve sessions from memory, because {reason}: it reads them as"
            " 'django_sessions_plus.backends.db' does.",
            "Use PostgreSQL with psycopg 3 (pip install 'psycopg[binary]') for sessions and users, in one schema;"
            f" name a Redis in {PREFIX}LEASE_CHANNEL; or set SESSION_ENGINE = 'django_sessions_plus.backends.db'.",
        )
    elif config.LEASE_CHANNEL == PROCESS and (
        not settings.DEBUG or connections[alias].vendor != "sqlite"
    ):
        yield problem(
            "W050",
            f"{PREFIX}LEASE_CHANNEL is 'process': a session that another process ends, be it a second worker or a"
            f" command such as revoke_sessions, is served for up to {PREFIX}CACHE_AGE.",
            "Leave it at 'database' on PostgreSQL, name a Redis, or set SESSION_ENGINE ="
            " 'django_sessions_plus.backends.db'. Silence this check if the site has one process, and that is soon"
            " enough.",
        )


@check()
def check_redis() -> Problems:
    """Find a channel that is no Redis, and nothing else either."""
    reason = _why_no_redis()
    if reason is not None:
        yield problem(
            "E040",
            f"The engine leased_db cannot hear of sessions that end, because {reason}: it reads them from the"
            " database.",
            f"Let {PREFIX}LEASE_CHANNEL be 'database' (PostgreSQL), 'process' (one process), a URL such as"
            " 'redis://127.0.0.1:6379/0', or the name of a cache in CACHES that is on one Redis.",
        )


@check()
def check_redis_is_shared() -> Problems:
    """Find a Redis that each host may have its own of, while they share a database."""
    model = _leased_model()
    channel = config.LEASE_CHANNEL
    if model is None or is_by_triggers() or channel == PROCESS or why_none(channel) is not None:
        return
    database = connections[router.db_for_write(model)].settings_dict.get("HOST", "")
    if locate(channel).is_of_this_host and not is_of_this_host(database):
        yield problem(
            "W052",
            f"{PREFIX}LEASE_CHANNEL names a Redis on this host, and the database is on another one: if a second host"
            f" serves the site, what it ends is served here for up to {PREFIX}CACHE_AGE.",
            "Name one Redis that all hosts reach. Silence this check if the site has one host.",
        )


@check()
def check_users_are_announced() -> Problems:
    """Find users that are read by a query, although the signals of their model were asked for."""
    model = _leased_model()
    if model is None or is_by_triggers() or config.LEASE_USERS != "signals":
        return
    channel = channel_of(model, router.db_for_write(model))
    if channel.why_impossible() is None and not channel.has_users():
        yield problem(
            "W051",
            f"{PREFIX}LEASE_USERS is 'signals', but users are in another database than sessions: each request reads the"
            " user by a query.",
            f"Remove {PREFIX}LEASE_USERS, or keep users and sessions in one database.",
        )


@check()
def check_atomic_requests() -> Problems:
    """Find views that run in a transaction, in which nothing is served from memory."""
    model = _leased_model()
    if model is None:
        return
    alias = router.db_for_write(model)
    if channel_of(model, alias).why_impossible() is None and connections[alias].settings_dict.get(
        "ATOMIC_REQUESTS"
    ):
        yield problem(
            "W046",
            f"ATOMIC_REQUESTS is on for the database {alias!r}: a transaction has to see what it has written itself, so"
            " a view that asks for the user reads the session from the database.",
            "Switch ATOMIC_REQUESTS off and use atomic() where it is needed; or set"
            " SESSION_ENGINE = 'django_sessions_plus.backends.db'.",
        )


@check()
def check_length_of_lease() -> Problems:
    """Find a lease that is long, or that never comes into effect."""
    if _leased_model() is None:
        return
    if config.LEASE > LONG:
        yield problem(
            "W047",
            f"{PREFIX}LEASE is {config.LEASE}: a process that is cut off from the database serves ended sessions for"
            " that long.",
            "Leave it at a quarter of a second; a longer one saves nothing but a few small queries per process.",
        )
    if config.CACHE_AGE < config.LEASE:
        yield problem(
            "W048",
            f"{PREFIX}CACHE_AGE is shorter than {PREFIX}LEASE: sessions are read from the database before the lease"
            " ends.",
            f"Let {PREFIX}CACHE_AGE be a minute or more, or {PREFIX}LEASE shorter.",
        )


@check()
def check_pooler() -> Problems:
    """Find a setting that Django advises for transaction poolers, through which nothing is heard."""
    model = _leased_model()
    if model is None or not is_by_triggers():
        return
    channel = channel_of(model, router.db_for_write(model))
    if channel.why_impossible() is not None:
        return
    alias = channel.direct if isinstance(channel, DatabaseChannel) else channel.alias
    if connections[alias].settings_dict.get("DISABLE_SERVER_SIDE_CURSORS"):
        yield problem(
            "I009",
            f"DISABLE_SERVER_SIDE_CURSORS is on for the database {alias!r}, as Django advises for poolers such as"
            " pgbouncer. Nothing can be heard through one, so the engine leased_db would read every session from the"
            " database.",
            f"Add to DATABASES an alias that leads to PostgreSQL itself, and set {PREFIX}LEASE_CHANNEL ="
            " 'database:alias'. Silence this check if there is no pooler.",
        )


@database_check
def check_triggers(databases: Collection[str]) -> Problems:
    """Find tables without triggers, or with those of another version of this package."""
    model = _leased_model()
    if model is None or not is_by_triggers():
        return
    alias = router.db_for_write(model)
    if alias not in databases or triggers.why_impossible(alias) is not None:
        return
    try:
        with transaction.atomic(using=alias):
            states = triggers.states(model, alias)
    except DatabaseError:
        # Whoever may not read the catalogue learns it from the command.
        return
    # "migrate" runs the checks before it makes the tables.
    fine = (triggers.INSTALLED, triggers.NO_TABLE)
    found = [f"{name}: {state}" for name, state in states.items() if state not in fine]
    if found:
        yield problem(
            "W049",
            f"The engine leased_db needs triggers in the database {alias!r} ({', '.join(found)}): until they are"
            " installed, sessions are read from the database.",
            "Run 'manage.py sessions_lease install', or add the operation InstallLeaseTriggers to a migration.",
        )


def _why_no_redis() -> str | None:
    """Return why the channel is none that there is; None if it is one, or nothing asks for it."""
    channel = config.LEASE_CHANNEL
    if _leased_model() is None or is_by_triggers() or channel == PROCESS:
        return None
    return why_none(channel)


def _leased_model() -> Any:
    store = engine_of(SessionStore)
    return None if store is None else store.get_model_class()

"""A pooler between the site and PostgreSQL: the listener has another way to the server, if one is named."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from copy import deepcopy
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection, connections
from django.test import override_settings

from django_sessions_plus.backends.leasing import database_channel, listening, triggers
from django_sessions_plus.backends.leasing.listening import channel_of, memory_of
from django_sessions_plus.backends.leasing.memory import now
from django_sessions_plus.checks import leasing
from django_sessions_plus.models import Session
from tests.leasing.conftest import ENGINE, PATIENCE, until, who
from tests.leasing.test_listening import elsewhere, send_an_echo, signed_in
from tests.ports import free_port

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.urls("tests.site"),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="only PostgreSQL has poolers"),
]

BESIDE = {"SESSION_ENGINE": ENGINE, "SESSIONS_PLUS_LEASE_CHANNEL": "database:direct"}
LONG = timedelta(minutes=5)
"""A lease that a busy machine does not lose."""


@pytest.fixture
def direct() -> Iterator[dict[str, Any]]:
    """Return the settings of another alias of the same database."""
    settings = connections.settings["direct"] = deepcopy(connection.settings_dict)
    yield settings
    del connections.settings["direct"]
    if hasattr(connections._connections, "direct"):  # type: ignore[attr-defined]
        del connections["direct"]


@pytest.fixture
def _installed(ada: User) -> Iterator[None]:
    triggers.install(Session, "default")
    yield
    listening.stop_all()
    triggers.remove(Session, "default")


def has_lease() -> bool:
    return memory_of(Session).valid_until > now()


def error() -> str:
    (listener,) = listening.listeners()
    until(lambda: listener.error is not None)
    return str(listener.error)


@pytest.mark.usefixtures("_installed", "direct")
def test_it_listens_over_the_alias_that_is_named():
    with override_settings(**BESIDE, SESSIONS_PLUS_LEASE=LONG):
        client = signed_in()
        (listener,) = listening.listeners()
        assert listener.channel.alias == "default"
        elsewhere("UPDATE django_sessions_plus_session SET ended_at = now()")
        until(lambda: who(client) == "")


@pytest.mark.usefixtures("_installed")
def test_another_database_proves_nothing(direct: dict[str, Any]):
    direct["NAME"] = "postgres"
    with override_settings(**BESIDE):
        assert not has_lease()
        assert "is not the one of the sessions" in error()
        assert not has_lease()


@pytest.mark.usefixtures("_installed", "direct")
def test_a_server_that_becomes_another_one_later_is_noticed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(database_channel, "COMPARED_AFTER", 0.0)
    with override_settings(**BESIDE, SESSIONS_PLUS_LEASE=LONG):
        until(has_lease)
        # What differs between the two connections, as the timeline of a promoted standby does.
        monkeypatch.setattr(database_channel, "_IDENTITY", "SELECT pg_backend_pid(), %s")
        send_an_echo()
        assert "is not the one of the sessions" in error()
        assert not has_lease()


def test_an_alias_that_there_is_not_is_told_of(settings: Any):
    with override_settings(**BESIDE):
        reason = channel_of(Session, "default").why_impossible()
        assert reason == "there is no database 'direct' in DATABASES"
        (message,) = leasing.check_leases_are_possible()
        assert message.id == "django_sessions_plus.W045"
        assert reason in message.msg


def test_the_check_of_poolers_looks_at_the_alias_that_is_listened_over(direct: dict[str, Any]):
    pooled = connection.settings_dict
    with override_settings(**BESIDE):
        for name, expected in (("default", 0), ("direct", 1)):
            values = pooled if name == "default" else direct
            before = values.get("DISABLE_SERVER_SIDE_CURSORS", False)
            values["DISABLE_SERVER_SIDE_CURSORS"] = True
            try:
                assert len(leasing.check_pooler()) == expected
            finally:
                values["DISABLE_SERVER_SIDE_CURSORS"] = before


# With PgBouncer itself

_CONFIGURATION = """
[databases]
* = host={host} port={port} user={user}{password}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen_port}
unix_socket_dir =
auth_type = any
pool_mode = {mode}
default_pool_size = 3
ignore_startup_parameters = options,extra_float_digits
"""


@pytest.fixture
def place() -> Iterator[Path]:
    """Return a directory that the user of PostgreSQL may enter, as those of pytest are not."""
    with TemporaryDirectory() as name:
        if os.geteuid() == 0:
            shutil.chown(name, "postgres")
        yield Path(name)


@pytest.fixture(params=["transaction", "session"])
def pooler(
    request: pytest.FixtureRequest, place: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """Have the site reach its database through PgBouncer."""
    program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        if os.environ.get("CI"):
            pytest.fail("PgBouncer is not installed.")
        pytest.skip("PgBouncer is not installed")
    settings, port = connection.settings_dict, free_port()
    configuration = place / "pgbouncer.ini"
    configuration.write_text(
        _CONFIGURATION.format(
            host=settings["HOST"] or "127.0.0.1",
            port=settings["PORT"] or 5432,
            user=settings["USER"],
            # An empty one would be an error.
            password=f" password={settings['PASSWORD']}" if settings["PASSWORD"] else "",
            listen_port=port,
            mode=request.param,
        )
    )
    # It refuses to run as root.
    user: dict[str, Any] = {"user": "postgres"} if os.geteuid() == 0 else {}
    log = (place / "log").open("wb")
    process = subprocess.Popen(
        [program, str(configuration)], stdout=log, stderr=subprocess.STDOUT, **user
    )
    with monkeypatch.context() as patch:
        connection.close()
        patch.setitem(settings, "HOST", "127.0.0.1")
        patch.setitem(settings, "PORT", port)
        try:
            _wait_for(process, place / "log")
            yield request.param
        finally:
            listening.stop_all()
            connection.close()
            process.terminate()
            process.wait()
            log.close()


def _wait_for(process: Any, log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            connection.ensure_connection()
        except Exception:  # noqa: BLE001 - it does not listen yet
            time.sleep(0.05)
        else:
            return
    pytest.fail(log.read_text())


@pytest.mark.usefixtures("_installed", "direct")
def test_beside_a_pooler_sessions_are_served_from_memory(pooler: str):
    with override_settings(**BESIDE, SESSIONS_PLUS_LEASE=LONG):
        client = signed_in()
        with connection.cursor() as cursor:
            # Through the pooler.
            cursor.execute("UPDATE django_sessions_plus_session SET ended_at = now()")
        until(lambda: who(client) == "")


@pytest.mark.usefixtures("_installed")
def test_through_a_pooler_they_are_not(pooler: str):
    with override_settings(SESSION_ENGINE=ENGINE):
        assert not has_lease()
        assert "pooler" in error() or "LISTEN" in error()
        assert not has_lease()

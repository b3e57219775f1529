"""Describe the machine and the versions, without anything that names the machine."""

from __future__ import annotations

import os
import platform
import sqlite3
from pathlib import Path

from benchmarks.config import MARIADB, POSTGRESQL, Services, Sizes
from benchmarks.databases import installed_version, server

PACKAGES = (
    "django",
    "djangorestframework",
    "django-user-sessions",
    "django-qsessions",
    "django-allauth",
    "django-rest-knox",
    "djangorestframework-simplejwt",
    "psycopg",
    "mysqlclient",
    "redis",
)


def describe(flavours: set[str], known: Services, sizes: Sizes | None) -> dict[str, str]:
    """Return what a reader needs to judge the figures."""
    found = {
        "CPU": cpu_model(),
        "cores": str(os.cpu_count()),
        "memory": f"{memory_gib()} GiB",
        "system": f"{platform.system()} {platform.release().partition('-')[0]}",
        "Python": f"{platform.python_version()} ({platform.python_implementation()})",
        "SQLite": sqlite3.sqlite_version,
    }
    if sizes is not None:
        found["stored"] = (
            f"{sizes.sessions:,} sessions of {sizes.users:,} users; {sizes.pool:,} in use"
        )
    if any(flavour.startswith(POSTGRESQL) for flavour in flavours):
        with server(POSTGRESQL, known) as execute:
            found["PostgreSQL"] = execute("SHOW server_version")[0][0].split()[0]
            for name in ("synchronous_commit", "fsync", "shared_buffers"):
                found[f"PostgreSQL {name}"] = execute(f"SHOW {name}")[0][0]
    if MARIADB in flavours:
        with server(MARIADB, known) as execute:
            found["MariaDB"] = execute("SELECT VERSION()")[0][0].partition("-")[0]
    for package in PACKAGES:
        found[package] = installed_version(package) or "not installed"
    return found


def cpu_model() -> str:
    """Return the processor's name as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def memory_gib() -> int:
    """Return the memory of the machine, rounded."""
    size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return round(size / 1024**3)

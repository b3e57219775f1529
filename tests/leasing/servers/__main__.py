"""Try the engine leased_db behind servers, and print what each has shown; the exit code is 0 only if all are well.

    python -m tests.leasing.servers [--rounds N] [--all] [NAME]...

Without names, the quick ones. Celery needs a Redis server besides; REDIS_URL is its address.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from tests.leasing.servers.table import KINDS, Kind
from tests.leasing.torture.postgres import Server

HEADINGS = (
    "server",
    "from memory",
    "seldom",
    "ends",
    "late",
    "latest ms",
    "connections",
    "stop s",
    "verdict",
)
LAYOUT = "{:<18} {:>11} {:>6} {:>5} {:>5} {:>10} {:>11} {:>7}  {}"


def main() -> int:
    """Try what the arguments name on a PostgreSQL server of its own, and return the exit code."""
    options = _options()
    kinds = _chosen(options)
    with tempfile.TemporaryDirectory(prefix="servers-") as name:
        directory = Path(name)
        # The server's user has to reach its directory below.
        directory.chmod(0o755)
        (directory / "server").mkdir()
        server = Server.started(directory / "server")
        try:
            _prepare(server, options.channel)
            print(LAYOUT.format(*HEADINGS), flush=True)
            verdicts = [
                _is_well(name, kind, server, directory, options.rounds)
                for name, kind in kinds.items()
            ]
            return 0 if all(verdicts) else 1
        finally:
            server.stop()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.leasing.servers")
    parser.add_argument("name", nargs="*", help=f"one of {', '.join(KINDS)}")
    parser.add_argument(
        "--rounds", type=int, default=1, help="how often a session ends in each way"
    )
    parser.add_argument("--all", action="store_true", help="all that are installed")
    parser.add_argument("--channel", default="database", help="SESSIONS_PLUS_LEASE_CHANNEL")
    return parser.parse_args()


def _chosen(options: argparse.Namespace) -> dict[str, Kind]:
    if options.all:
        return {name: kind for name, kind in KINDS.items() if kind.is_installed()}
    names = options.name or [name for name, kind in KINDS.items() if kind.is_quick]
    for name in names:
        if name not in KINDS:
            raise SystemExit(f"There is no {name}; there are {', '.join(KINDS)}.")
        if not KINDS[name].is_installed():
            raise SystemExit(f"{name} needs {KINDS[name].module}, which is not installed.")
    return {name: KINDS[name] for name in names}


def _prepare(server: Server, channel: str) -> None:
    os.environ |= {
        "DJANGO_SETTINGS_MODULE": "tests.leasing.servers.settings",
        "TORTURE_PORT": str(server.port),
        "SERVERS_CHANNEL": channel,
        "SERVERS_BROKER": os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/0"),
        # The servers that are programs of their own do not look in the working directory.
        "PYTHONPATH": str(Path.cwd()),
    }
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    call_command("sessions_lease", "install", verbosity=0)


def _is_well(name: str, kind: Kind, server: Server, directory: Path, rounds: int) -> bool:
    from tests.leasing.servers.trying import try_kind

    log = directory / f"{name}.log"
    shown = try_kind(kind, server, log, rounds)
    wrong = shown.judge()
    share = f"{shown.from_memory / max(shown.asked, 1):.0%}"
    seldom = f"{shown.seldom_from_memory / max(shown.seldom_asked, 1):.0%}"
    figures = (
        share,
        seldom,
        shown.ends,
        shown.late,
        f"{shown.latest * 1000:.0f}",
        shown.connections,
    )
    print(
        LAYOUT.format(name, *figures, f"{shown.stopped_after:.1f}", "; ".join(wrong) or "well"),
        flush=True,
    )
    if wrong:
        print("\n".join(f"    {line}" for line in log.read_text().splitlines()[-15:]), flush=True)
    return not wrong


if __name__ == "__main__":
    sys.exit(main())

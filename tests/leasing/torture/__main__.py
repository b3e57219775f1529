"""Torture the engine leased_db, and print whether it kept its promise; the exit code is 0 only if it did.

    python -m tests.leasing.torture [--channel NAME] [--seconds S] [--revocations N] [--seed S] [--fault NAME]...
        [--no-variants]

With the channel "redis" the database has no triggers, sessions end by this package alone, and the faults are those of
a Redis of its own.

First the engine, with every fault. Then three variants, each without one rule of the memory, with faults that
show why the rule is there; one that shows no violation fails the run, because then this program proves nothing.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.leasing.torture.postgres import Server
from tests.ports import free_port


def main() -> int:
    """Run what the arguments say on a server of its own, and return the exit code."""
    options = _options()
    with tempfile.TemporaryDirectory(prefix="torture-lease-") as name:
        directory = Path(name)
        # The server's user has to reach its directory below.
        directory.chmod(0o755)
        (directory / "server").mkdir()
        server = Server.started(directory / "server")
        environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "tests.leasing.torture.settings",
            "TORTURE_PORT": str(server.port),
            "TORTURE_ENGINE": "db",
        }
        if options.channel == "redis":
            environment |= {
                "TORTURE_ENGINE": "leased_db",
                "TORTURE_REDIS_PORT": str(free_port()),
            }
        arguments = [
            *(str(server.port), str(server.directory), str(options.seconds)),
            *(
                str(options.revocations),
                str(options.seed),
                str(options.slots),
                str(int(options.variants)),
            ),
            *options.fault,
        ]
        module = "tests.leasing.torture.start"
        try:
            command = [sys.executable, "-m", module, "leading", *arguments]
            return subprocess.run(command, env=environment, check=False).returncode
        finally:
            server.stop()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.leasing.torture")
    parser.add_argument(
        "--seconds", type=float, default=75.0, help="how long the engine itself is tried"
    )
    parser.add_argument(
        "--revocations",
        type=int,
        default=0,
        help="try it until so many sessions have ended instead",
    )
    parser.add_argument("--channel", choices=["database", "redis"], default="database")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument(
        "--fault", action="append", default=[], help="only this fault; may be repeated"
    )
    parser.add_argument(
        "--slots",
        type=int,
        default=48,
        help="how many sessions are asked for at a time; more end per second",
    )
    parser.add_argument("--no-variants", dest="variants", action="store_false")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

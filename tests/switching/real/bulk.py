"""Import a large table by ``manage.py import_sessions`` beside requests, and judge what both have felt.

    DATABASE_URL=postgres://user@host/name python -m tests.switching.real.bulk [--sessions 1000000]

Needs PostgreSQL, and a machine on which nothing else runs. The database is made anew, and deleted afterwards. A site on
this package, in an environment with the wheel, gets ``--rate`` requests a second: for ``--idle`` seconds alone, then
beside the import. Each tenth is the first one of a browser whose session is still in Django's table, or
was just imported. The import is ended by SIGKILL after a third and after two thirds of the rows, and run again.

Prints PASS if all sessions were imported once and all answers were right, if no process of the import took more than
200 MB of memory and none of its transactions more than 2 seconds, and if the 99th percentile of the
requests was at most twice that without the import; else FAIL, with what was not so.

The longest transaction is what the database shows, asked 20 times a second. A request is timed from when it was due,
so that it counts too if it had to wait for a client.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import count, cycle
from pathlib import Path
from typing import Any, TypeVar

import psycopg

from tests.switching.real.environments import (
    SITE,
    FailedError,
    Site,
    build_wheel,
    copy_site,
    environment,
)
from tests.switching.real.judging import Verdict
from tests.switching.real.site.engines import ENGINES

T = TypeVar("T")

IMPORTED = "django_sessions_plus_switching_importedkey"
APPLICATION = "import_sessions"
MOST_MEGABYTES, MOST_SECONDS, MOST_TIMES = 200, 2.0, 2.0
CLIENTS = 32
SHOWN = 20_000
"""How many browsers come back."""
STEADY = 1_000
"""How many of them have come back before anything is measured."""
PATIENCE = 60.0
INTERVAL = 0.05


@dataclass
class Requests:
    """What was asked, and how long the answers took, in seconds."""

    seconds: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def percentile(self, part: float) -> float:
        """Return the milliseconds within which this part of the requests was answered."""
        ordered = sorted(self.seconds)
        return 1000 * ordered[min(int(part * len(ordered)), len(ordered) - 1)]

    def __str__(self) -> str:
        p50, p99 = self.percentile(0.5), self.percentile(0.99)
        return f"{len(self.seconds):,} requests, p50 {p50:.1f} ms, p99 {p99:.1f} ms"


@dataclass
class Imports:
    """What the processes of the import have done."""

    seconds: float = 0.0
    megabytes: float = 0.0
    """The most memory of any of them."""
    longest: float = 0.0
    """Seconds of the longest transaction."""
    killed: int = 0
    figures: dict[str, Any] = field(default_factory=dict)
    """Those of the last run."""


class Browsers:
    """Browsers that come back at a constant rate, whether or not earlier answers have arrived."""

    def __init__(self, address: str, cookies: list[list[str]], rate: float) -> None:
        self.address, self.rate = address, rate
        self._steady, self._first = cookies[:STEADY], cookies[STEADY:]
        self._next_steady, self._next_first = cycle(self._steady), cycle(self._first)
        self._kept = threading.local()

    def warm_up(self) -> None:
        """Have all of the steady ones come back once."""
        with ThreadPoolExecutor(CLIENTS) as pool:
            wrong = [each for each in pool.map(self._ask, self._steady) if each]
        if wrong:
            raise FailedError("\n".join(wrong[:5]))

    def come_until(self, is_over: threading.Event) -> Requests:
        """Send requests until the event is set, and return how they were answered."""
        found, began = Requests(), time.monotonic()

        def ask(browser: list[str], due: float) -> None:
            wrong = self._ask(browser)
            found.seconds.append(time.monotonic() - due)
            if wrong:
                found.wrong.append(wrong)

        with ThreadPoolExecutor(CLIENTS) as pool:
            for number in count():
                due = began + number / self.rate
                time.sleep(max(0.0, due - time.monotonic()))
                if is_over.is_set():
                    break
                browser = next(self._next_first if number % 10 == 9 else self._next_steady)
                pool.submit(ask, browser, due)
            # A server that is too slow would be asked for what is due until long after the end.
            pool.shutdown(cancel_futures=True)
        return found

    def _ask(self, browser: list[str]) -> str:
        """Send one request and return what is wrong with the answer; empty if nothing is."""
        cookie, user = browser
        is_kept = hasattr(self._kept, "connection")
        if not is_kept:
            self._kept.connection = http.client.HTTPConnection(self.address, timeout=PATIENCE)
        connection = self._kept.connection
        try:
            connection.request("GET", "/who", headers={"Cookie": f"sessionid={cookie}"})
            response = connection.getresponse()
            text = response.read()
            is_right = response.status == 200 and json.loads(text)["user"] == user
            return "" if is_right else f"{user}: {response.status} {text[:200]!r}"
        except (OSError, http.client.HTTPException) as error:
            del self._kept.connection
            if is_kept and isinstance(error, ConnectionError):
                # The server closes a connection that was idle for a while, and may do so at this very
                # moment. Browsers send the request again, over a new one.
                return self._ask(browser)
            return f"{user}: {error!r}"


class Database:
    """What the import does, as the database shows it."""

    def __init__(self, url: str) -> None:
        self._connection = psycopg.connect(url, autocommit=True, application_name="watcher")

    def close(self) -> None:
        """Close the connection, without which the database can be deleted."""
        self._connection.close()

    def value(self, sql: str) -> float:
        """Return the one value that a statement selects; 0 for NULL."""
        row = self._connection.execute(sql).fetchone()
        return float((row and row[0]) or 0)

    def done(self) -> float:
        """Return about how many sessions were imported."""
        return self.value(f"SELECT max(id) FROM {IMPORTED}")

    def running(self) -> float:
        """Return for how many seconds the transaction of the import has been running."""
        return self.value(
            "SELECT max(extract(epoch FROM clock_timestamp() - xact_start)) FROM pg_stat_activity"
            f" WHERE application_name = '{APPLICATION}' AND datname = current_database()"
        )


def main() -> int:
    """Do what the docstring of this module says, and return the exit code."""
    options, url = _options(), os.environ["DATABASE_URL"]
    verdict = Verdict(f"{options.sessions:,} sessions")
    with tempfile.TemporaryDirectory(prefix="switching-") as name:
        site = _site(Path(name), options.environments.resolve(), url)
        began = time.monotonic()
        shown = str(min(SHOWN, options.sessions // 2))
        text = site.run(f"{SITE}.filling_many", str(options.sessions), shown)
        verdict.say(f"filled in {time.monotonic() - began:.0f} s")
        try:
            with closing(Database(url)) as database:
                _try(site, database, json.loads(text), verdict, options)
        except FailedError as error:
            verdict.fail(str(error))
        finally:
            site.run(f"{SITE}.emptying")
    print("FAIL" if verdict.failed else "PASS")
    return 1 if verdict.failed else 0


def _try(
    site: Site,
    database: Database,
    cookies: list[list[str]],
    verdict: Verdict,
    options: argparse.Namespace,
) -> None:
    with site.served() as address:
        browsers = Browsers(address, cookies, options.rate)
        browsers.warm_up()
        idle = _beside(browsers, lambda: time.sleep(options.idle))[0]
        verdict.say(f"without the import: {idle}")
        busy, imports = _beside(browsers, lambda: import_all(site, database, options.sessions))
        verdict.say(f"beside the import: {busy}")
    _judge(verdict, database, imports, options.sessions)
    times = busy.percentile(0.99) / idle.percentile(0.99)
    verdict.at_most("p99 beside the import, times that without it", times, MOST_TIMES)
    wrong = idle.wrong + busy.wrong
    verdict.expect("wrong answers", len(wrong), 0, wrong)
    verdict.expect("lines in the log of the server", len(site.log().splitlines()), 0, [site.log()])


def _beside(browsers: Browsers, work: Callable[[], T]) -> tuple[Requests, T]:
    is_over = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        requests = pool.submit(browsers.come_until, is_over)
        try:
            done = work()
        finally:
            is_over.set()
        return requests.result(), done


def import_all(site: Site, database: Database, total: int) -> Imports:
    """Run the import until it is finished, and send SIGKILL after a third and two thirds of ``total`` rows.

    Raises:
        FailedError: it has failed by itself.
    """
    found, began = Imports(), time.monotonic()
    site = replace(site, variables={**site.variables, "PGAPPNAME": APPLICATION})
    for part in (total / 3, 2 * total / 3, float("inf")):
        process = site.start("django", "import_sessions", "--json", "--no-progress")
        status, text = _watch(process, database, part, found)
        if status == -signal.SIGKILL:
            found.killed += 1
        elif status:
            raise FailedError(text)
        else:
            found.figures = json.loads(text)["sources"]["django"]
            found.longest = max(found.longest, found.figures["longest"])
            break
    found.seconds = time.monotonic() - began
    return found


def _watch(
    process: subprocess.Popen[str], database: Database, part: float, found: Imports
) -> tuple[int, str]:
    """Wait for a process of the import, which is killed when ``part`` is done; return its status and what it wrote."""
    while (ended := os.wait4(process.pid, os.WNOHANG))[0] == 0:
        found.longest = max(found.longest, database.running())
        if database.done() >= part:
            # Not process.send_signal(), which may collect the status that is waited for here.
            os.kill(process.pid, signal.SIGKILL)
        time.sleep(INTERVAL)
    process.returncode = os.waitstatus_to_exitcode(ended[1])
    found.megabytes = max(found.megabytes, ended[2].ru_maxrss / 1024)
    return process.returncode, process.communicate()[0]


def _judge(verdict: Verdict, database: Database, imports: Imports, count: int) -> None:
    rate = count / imports.seconds
    verdict.say(
        f"imported in {imports.seconds:.0f} s, {rate:.0f} a second; last run: {imports.figures}"
    )
    verdict.expect("killed", imports.killed, 2)
    verdict.at_most("megabytes of memory", imports.megabytes, MOST_MEGABYTES)
    verdict.at_most("seconds of the longest transaction", imports.longest, MOST_SECONDS)
    for what, sql, expected in (
        ("rows", "SELECT count(*) FROM django_sessions_plus_session", count),
        ("keys written down", f"SELECT count(DISTINCT digest) FROM {IMPORTED}", count),
        ("sessions left", "SELECT count(*) FROM django_session WHERE expire_date > now()", 0),
        ("expired ones left", "SELECT count(*) FROM django_session", count // 10),
    ):
        verdict.expect(what, int(database.value(sql)), expected)


def _site(work: Path, environments: Path, url: str) -> Site:
    wheel = build_wheel(work)
    directory = work / "site"
    copy_site(directory)
    variables = {
        "SITE_ENGINE": "django-db",
        "DATABASE_URL": url,
        "DJANGO_SETTINGS_MODULE": f"{SITE}.new_settings",
    }
    return Site(
        environment(environments, ENGINES["django-db"], "postgres", wheel), directory, variables
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sessions", type=int, default=1_000_000, help="how many are living")
    parser.add_argument("--rate", type=float, default=50.0, help="requests a second")
    parser.add_argument("--idle", type=float, default=60.0, help="seconds without the import")
    default = Path(".venv-switching/sites")
    parser.add_argument("--environments", type=Path, default=default, help="where they are made")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

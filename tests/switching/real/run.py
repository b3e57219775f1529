"""Switch real sites from other session engines to this one, and back, and count who is still signed in.

    python -m tests.switching.real.run [--sessions N] [--at-once N] [ENGINE...]

For each engine an old site, in an environment that has its package and not this one, fills a database by
real sign-ins. The new site, with the wheel, is what docs/switching.md says. Two processes of it get all
cookies, each several times at once, from 20 clients. Then half of the users are signed out. This is done twice:
the second time with SESSIONS_PLUS_IMPORT_KEEP_SOURCE, and the old site is served again afterwards.

DATABASE_URL names the database, which is made anew: SQLite without it. Engines with a cache need REDIS_URL.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import uuid
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.switching.real import judging
from tests.switching.real.environments import (
    SITE,
    FailedError,
    Site,
    build_wheel,
    copy_site,
    environment,
)
from tests.switching.real.replay import AT_ONCE, post, replay
from tests.switching.real.site import plan
from tests.switching.real.site.engines import ENGINES, Engine
from tests.switching.real.site.plan import Visit

FAMILIES = {"postgres": "PostgreSQL", "mysql": "MariaDB", "sqlite": "SQLite"}
NEW_SESSIONS = 5


@dataclass
class Sites:
    """The old and the new site of one engine, on the same database and cache."""

    old: Site
    new: Site
    engine: Engine
    visits_file: Path
    """Where the old site writes which cookies it gave."""


def main() -> int:
    """Try the engines that were named, or all, and return the exit code."""
    options = _options()
    verdicts = []
    with tempfile.TemporaryDirectory(prefix="switching-") as name:
        work = Path(name)
        wheel = build_wheel(work)
        for key in options.engine or ENGINES:
            if ENGINES[key].needs_cache and not os.environ.get("REDIS_URL"):
                assert os.environ.get("CI") != "true", "REDIS_URL is not set"
                print(f"{ENGINES[key].title}: left out, because REDIS_URL is not set")
                continue
            sites, title = _sites(key, options.environments.resolve(), wheel, work)
            verdicts.append(judging.Verdict(title))
            _try(sites, verdicts[-1], options.sessions, options.at_once)
    passed = sum(verdict.passed for verdict in verdicts)
    failed = sum(verdict.failed for verdict in verdicts)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


def switch(sites: Sites, verdict: judging.Verdict, count: int, at_once: int) -> None:
    """Fill the old site, switch, replay all cookies, sign out half of the users, replay once more."""
    visits, kind = _fill_and_switch(sites, verdict, count), sites.engine.kind
    with sites.new.served() as address:
        found = replay(kind, address, visits, at_once=at_once)
        judging.judge_replay(verdict, "switched", visits, found)
        judging.judge_rows(verdict, _compared(sites), count, kind.left(count, is_kept=False))
        ended = _revoke_half(address, verdict, visits)
        found = replay(kind, address, ended)
        judging.judge_replay(verdict, "half revoked", ended, found)
    judging.judge_log(verdict, "switched", sites.new.log(), visits, kind)


def switch_and_go_back(sites: Sites, verdict: judging.Verdict, count: int, at_once: int) -> None:
    """Do the same with the source kept, and serve the old site again."""
    sites = replace(
        sites,
        new=replace(sites.new, variables={**sites.new.variables, "SITE_KEEP_SOURCE": "1"}),
    )
    visits, kind = _fill_and_switch(sites, verdict, count), sites.engine.kind
    with sites.new.served() as address:
        found = replay(kind, address, visits, at_once=min(2, at_once))
        judging.judge_replay(verdict, "switched, source kept", visits, found)
        judging.judge_rows(verdict, _compared(sites), count, kind.left(count, is_kept=True))
        ended = _revoke_half(address, verdict, visits)
        new = [post(address, "/sign-in", {"user": plan.user_name(0)}) for _ in range(NEW_SESSIONS)]
    judging.judge_log(verdict, "switched, source kept", sites.new.log(), visits, kind)
    # What an old engine makes of broken sessions is its own.
    whole = [visit for visit in ended if visit.state != plan.BROKEN]
    back = sites.old
    if kind.needs_package_after_going_back:
        back = replace(sites.new, variables={**sites.new.variables, "SITE_STEP": "1"})
    with back.served() as address:
        found = replay(kind, address, whole)
        judging.judge_replay(verdict, "switched back", whole, found)
        begun = [
            replace(visits[0], user=plan.user_name(0), data={}, cookie=cookie, state="new")
            for cookie in new
        ]
        opened = replay(kind, address, begun).opened
        expected = len(new) if kind.needs_package_after_going_back else 0
        verdict.expect("switched back, sessions of the new site let in", len(opened), expected)


def _try(sites: Sites, verdict: judging.Verdict, count: int, at_once: int) -> None:
    for story in (switch, switch_and_go_back):
        try:
            story(sites, verdict, count, at_once)
        except FailedError as error:
            verdict.fail(str(error))
        finally:
            # What is in the cache, such as how many lines were logged, would change the second one.
            sites.old.run(f"{SITE}.emptying")


def _fill_and_switch(sites: Sites, verdict: judging.Verdict, count: int) -> list[Visit]:
    sites.old.run(f"{SITE}.filling", str(count), str(sites.visits_file))
    visits = [Visit(**each) for each in json.loads(sites.visits_file.read_text())]
    states = ", ".join(f"{sum(v.state == s for v in visits)} {s}" for s in plan.STATES)
    users = len({visit.user for visit in visits if visit.user})
    verdict.say(
        f"filled with {states} of {users} users and {sum(not v.user for v in visits)} visitors"
    )
    sites.new.run("django", "migrate", "--verbosity", "0")
    sites.new.run("django", "check", "--fail-level", "WARNING")
    return visits


def _compared(sites: Sites) -> dict[str, Any]:
    compared: dict[str, Any] = json.loads(
        sites.new.run(f"{SITE}.comparing", str(sites.visits_file))
    )
    return compared


def _revoke_half(address: str, verdict: judging.Verdict, visits: list[Visit]) -> list[Visit]:
    """Sign out every second user by the new site, and return all visits as they have to be then."""
    users = sorted({visit.user for visit in visits if visit.user})[::2]
    is_revoked = [visit.state == plan.LIVING and visit.user in users for visit in visits]
    ended = post(address, "/revoke", users)["ended"]
    verdict.expect("revoked", ended, sum(is_revoked))
    return [
        replace(visit, state="ended") if is_ended else visit
        for visit, is_ended in zip(visits, is_revoked, strict=True)
    ]


def _sites(key: str, environments: Path, wheel: Path, work: Path) -> tuple[Sites, str]:
    """Return the sites of an engine, and what they are called."""
    engine: Engine = ENGINES[key]
    url = os.environ.get("DATABASE_URL") or f"sqlite:///{work / 'site.sqlite3'}"
    database = urlsplit(url).scheme.replace("postgresql", "postgres")
    variables = {
        "SITE_ENGINE": key,
        "SITE_PREFIX": f"switching-{uuid.uuid4().hex}",
        "DATABASE_URL": url,
        "REDIS_URL": os.environ.get("REDIS_URL", ""),
        "SITE_FILES": str(work / key / "files"),
    }
    (work / key / "files").mkdir(parents=True)
    sites = {}
    for name, package in (("old", None), ("new", wheel)):
        directory = work / key / name
        copy_site(directory)
        settings = {"DJANGO_SETTINGS_MODULE": f"{SITE}.{name}_settings"}
        python = environment(environments, engine, database, package)
        sites[name] = Site(python, directory, {**variables, **settings})
    found = Sites(**sites, engine=engine, visits_file=work / key / "visits.json")
    return found, f"{engine.title} on {FAMILIES[database]}"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("engine", nargs="*", choices=[*ENGINES, []], help="default: all")
    parser.add_argument("--sessions", type=int, default=300, help="how many are living")
    text = "how many clients send the same cookie at the same time; 1 for a run of thousands"
    parser.add_argument("--at-once", type=int, default=AT_ONCE, choices=(1, 2, 4), help=text)
    default = Path(".venv-switching/sites")
    parser.add_argument("--environments", type=Path, default=default, help="where they are made")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

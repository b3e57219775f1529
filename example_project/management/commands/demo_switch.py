"""``manage.py demo_switch``: serve the site on Django's own sessions, and switch while somebody is signed in."""

import os
import subprocess
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import chain, cycle
from typing import Any

from django.core.management.base import BaseCommand

from example_project import demo_data

BEFORE = """
{site}/ runs on Django's own sessions.

  1. Sign in as {username}, whose password is {password}, and look at a page or two: they are counted.
     {site}/devices/ says that it is not in use yet.

Press Enter to make the switch.
"""
AFTER = """
The switch is made: SESSION_ENGINE = "django_sessions_plus.backends.db".

  2. Reload the page. You are still signed in, and the pages are still counted.
     {site}/devices/ has your browser now, with its address, and can end its session.

Press Enter to go back.
"""
BACK = """
Django's own engine is set again.

  3. Reload the page. You are still signed in.

Press Enter to make the switch again, Ctrl-C to end.
"""


class Command(BaseCommand):
    """Serve the site before and after the switch, in turn."""

    help = "Serves the site on Django's own sessions, and makes the switch when Enter is pressed."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the port."""
        parser.add_argument("port", nargs="?", default="8000")

    def handle(self, *args: Any, **options: Any) -> None:
        """Serve until Ctrl-C, or until the input ends."""
        demo_data.add()
        person = demo_data.PEOPLE[-1]
        said = {
            "site": f"http://127.0.0.1:{options['port']}",
            "username": person.username,
            "password": person.password,
        }
        with suppress(KeyboardInterrupt):
            for text in chain([BEFORE], cycle([AFTER, BACK])):
                with served(options["port"], is_switched=text is AFTER):
                    self.stdout.write(text.format(**said))
                    self.stdout.flush()
                    if not sys.stdin.readline():
                        return


@contextmanager
def served(port: str, *, is_switched: bool) -> Iterator[None]:
    """Serve the site in a process of its own."""
    environment = {**os.environ, "BEFORE_SWITCH": "" if is_switched else "1"}
    command = [sys.executable, sys.argv[0], "runserver", "--noreload", f"127.0.0.1:{port}"]
    server = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL)
    try:
        yield
    finally:
        server.terminate()
        server.wait()

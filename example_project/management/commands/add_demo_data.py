"""``manage.py add_demo_data``: somebody to sign in as, and what to try."""

import os
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.urls import reverse

from django_sessions_plus import sessions
from example_project import demo_data

GUIDE = """
The example site is at {site}/

{people}

  These passwords are published: they are for this demo and nothing else.

What to try

  Two browsers
    Sign in as grace in two browsers, or in one and a private window of it. Both see
    both under {devices}
    End one there: its very next click leads to the sign-in page.

  All at once
    Sign in from a third browser, and let one end all others; or change the password
    in one and see the rest signed out.

  Being told
    The devices grace has used are others than yours, so her sign-in writes her an e-mail:
    it appears in this terminal. So does a line for each sign-in, refusal and end.
    Have a browser that is signed in pass for another one, as developer tools can, and end
    a session with it: it is asked for the password first.

  The admin, as ada
    {admin}
    Who is signed in where; select sessions and end them.

  The API. Paste this into a terminal:

    TOKEN=$(curl -sS {api}/sign-in \\
      -H 'Content-Type: application/json' \\
      -d '{{"username": "{username}", "password": "{password}", "transport": "bearer"}}' |
      sed -n 's/.*"token": *"\\([^"]*\\)".*/\\1/p')
    curl -sS {api}/sessions -H "Authorization: Bearer $TOKEN"
    curl -sS {api}/sessions/revoke -H "Authorization: Bearer $TOKEN" \\
      -H 'Content-Type: application/json' -d '{{"scope": "others"}}'
    curl -sS -X POST {api}/sign-out -H "Authorization: Bearer $TOKEN"
    curl -sS {api}/sessions -H "Authorization: Bearer $TOKEN"

    It signs in, lists the sessions, ends the others, signs out, and is refused.
"""


class Command(BaseCommand):
    """Add the demo people and their past devices; running it again puts them back."""

    help = (
        "Adds demo people with well-known passwords and a few past devices, and says what to try."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the one option."""
        parser.add_argument(
            "--force",
            action="store_true",
            help="do it although DEBUG is off: anybody can then sign in with these passwords",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Add the data and print the guide."""
        if not settings.DEBUG and not options["force"]:
            raise CommandError(
                "DEBUG is off, so this may be a real site, and the demo's passwords are published. "
                "If it is not, pass --force."
            )
        demo_data.add()
        self.stdout.write(self.guide(f"http://127.0.0.1:{os.environ.get('PORT') or 8000}"))

    def guide(self, site: str) -> str:
        """Return what to do on the site at this address."""
        meta = sessions.session_model()._meta
        caller = demo_data.PEOPLE[-1]
        return GUIDE.format(
            site=site,
            people="\n".join(_introduce(person) for person in demo_data.PEOPLE),
            devices=site + reverse("django_sessions_plus:devices"),
            admin=site + reverse(f"admin:{meta.app_label}_{meta.model_name}_changelist"),
            api=site + reverse("django_sessions_plus_api:session").removesuffix("/session"),
            username=caller.username,
            password=caller.password,
        )


def _introduce(person: demo_data.Person) -> str:
    role = "   may use the admin" if person.is_admin else ""
    return f"  {person.username:<8}{person.password}{role}"

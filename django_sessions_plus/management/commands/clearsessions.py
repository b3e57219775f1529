"""``manage.py clearsessions``, also where ``django.contrib.sessions`` is not installed."""

from django.contrib.sessions.management.commands.clearsessions import Command as DjangoCommand


class Command(DjangoCommand):
    """Purge the configured engine; meant for a daily cron job."""

"""Delete the database of the site, and what it has in the cache."""

import os

import django
import redis
from django.conf import settings
from django.db import connection


def main() -> None:
    """Do what the docstring of this module says."""
    django.setup()
    name = settings.DATABASES["default"]["NAME"]
    connection.creation.destroy_test_db(name, verbosity=0)
    if os.environ.get("REDIS_URL"):
        client = redis.Redis.from_url(os.environ["REDIS_URL"])
        for key in client.scan_iter(match=f"{os.environ['SITE_PREFIX']}:*", count=1000):
            client.delete(key)


if __name__ == "__main__":
    main()

"""The migration of the recipe."""

from tests.partitioned import recipe

exec(recipe("shop/migrations/0002_partition_sessions.py"))

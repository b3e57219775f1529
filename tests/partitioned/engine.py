"""The store of the recipe."""

from tests.partitioned import recipe

exec(recipe("shop/sessions.py"))

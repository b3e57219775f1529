"""The package's ``manage.py`` commands."""

"""The ``manage.py`` commands of the switch."""

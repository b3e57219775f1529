"""The switch from another session engine: sessions of that engine go on here, and nobody has to sign in again.

An app of its own, ``django_sessions_plus.switching``, because its tables are only needed until the switch is done.
It must not be imported by the engine, which calls it by a dotted path while ``SESSIONS_PLUS_IMPORT_FROM`` is set.
"""

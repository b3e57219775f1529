"""Rows in the memory of a process, which it believes only as long as it can prove that it has heard of every end.

``memory`` keeps them, ``rows`` serves them, ``listening`` hears what has ended, and ``triggers`` make PostgreSQL
announce it.
"""

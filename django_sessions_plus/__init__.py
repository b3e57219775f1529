"""The session layer of a Django project: every sign-in a visible, revocable row.

Importing this package imports nothing; the parts live in the modules that
are named in the documentation.
"""

"""The session endpoints for Django REST framework, and classes for a project's own API.

The only package that imports REST framework. Views call the functions in
``django_sessions_plus.sessions`` and must not decide anything about a session themselves.
"""

"""The session endpoints for Django REST framework, and what a project's own API needs of them.

The only package that imports REST framework. Its edges call the verbs in
``django_sessions_plus.sessions`` and decide nothing about a session themselves.
"""

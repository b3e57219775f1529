"""The same work for this project and its peers: ``python -m benchmarks --help``.

Each contender is served in a process of its own, through the whole WSGI or ASGI handler
with Django's usual middleware and a trivial view. Nothing here is part of the package.
"""

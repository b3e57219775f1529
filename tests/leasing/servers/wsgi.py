"""The site under WSGI. With SERVERS_BEGIN=1 a session is looked for at once: before a server that preloads forks."""

import os

from django.core.wsgi import get_wsgi_application

application = get_wsgi_application()

if os.environ.get("SERVERS_BEGIN"):
    from django.db import connections
    from django.test import Client

    from tests.leasing.servers.asking import COOKIE, NOBODYS_TOKEN

    client = Client(SERVER_NAME="localhost")
    client.cookies[COOKIE] = NOBODYS_TOKEN
    client.get("/")
    # As Django asks of whoever forks: two processes cannot use one connection for queries.
    connections.close_all()

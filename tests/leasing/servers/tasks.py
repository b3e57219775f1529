"""A Celery application with a task that asks the site, in the process of the worker."""

import os

import django
from celery import Celery
from django.test import Client

from tests.leasing.servers.asking import COOKIE

django.setup()
app = Celery("servers", broker=os.environ["SERVERS_BROKER"], backend=os.environ["SERVERS_BROKER"])
app.conf.task_default_queue = app.conf.result_backend_transport_options["global_keyprefix"] = (
    f"servers-{os.environ['TORTURE_PORT']}"
)
app.conf.result_expires = 60
app.conf.worker_hijack_root_logger = False


@app.task(name="who")
def who(token: str) -> dict[str, object]:
    """Return what the site answers to whoever has this token."""
    client = Client(SERVER_NAME="localhost")
    client.cookies[COOKIE] = token
    answer: dict[str, object] = client.get("/").json()
    return answer

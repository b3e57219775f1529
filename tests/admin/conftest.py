"""People in the admin: a superuser, signed in, and somebody whose sessions are looked at."""

import pytest
from django.contrib.auth.models import User
from django.test import Client

from django_sessions_plus.models import Session


@pytest.fixture
def boss(db):
    return User.objects.create_superuser("boss", "boss@example.com")


@pytest.fixture
def client(boss):
    client = Client()
    client.force_login(boss)
    return client


@pytest.fixture
def own(client):
    return Session.objects.get(user__username="boss")

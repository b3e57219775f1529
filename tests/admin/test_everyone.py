"""Signing everyone out from the admin: who may, what it asks, and how it goes on and stops."""

import re
from dataclasses import replace
from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.core import signing
from django.test import Client
from django.utils import timezone

from django_sessions_plus import tokens
from django_sessions_plus.admin import everyone
from django_sessions_plus.bulk import ending
from django_sessions_plus.models import Session
from tests.admin.site import LIST, make_ended, make_session, make_staff

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.admin.site")]

PAGE = f"{LIST}everyone/"
WORD = {"consent": "everyone"}


@pytest.fixture(autouse=True)
def _time_enough(monkeypatch):
    """A request has time for all of it, on a busy machine too."""
    monkeypatch.setattr(everyone, "BUDGET", 3600.0)


@pytest.fixture
def slow(monkeypatch):
    """Two sessions take as much time as a request has."""
    monkeypatch.setattr(everyone, "BUDGET", 0.0)
    monkeypatch.setattr(ending, "KEYS_PER_STATEMENT", 2)


def alive():
    return set(Session.objects.active().values_list("pk", flat=True))


def note_in(response):
    return {"note": response.context["signed"]}


def test_after_the_word_everybody_else_is_signed_out(client, boss, own, alice, bob):
    for user in (alice, alice, bob, boss):
        make_session(user)
    visit, before = make_session(), make_ended(alice)
    assert "5 sessions" not in client.get(PAGE).content.decode()
    assert "4 sessions end at once" in client.get(PAGE).content.decode()
    assert "manage.py revoke_sessions --all" in client.get(PAGE).content.decode()
    response = client.post(PAGE, WORD, follow=True)
    assert response.redirect_chain == [(LIST, 302)]
    assert "4 sessions were ended. Yours is the one that is left." in response.content.decode()
    assert alive() == {own.pk, visit.pk}
    assert Session.objects.filter(ended_by=boss, end_reason="revoked").count() == 4
    before.refresh_from_db()
    assert before.end_reason == "signed_out"
    entry = LogEntry.objects.get()
    assert entry.content_type.model_class() is Session
    assert (entry.user, entry.object_repr) == (boss, "sessions")
    assert entry.get_change_message() == "Signed everyone out: ended 4."
    assert client.get("/admin/").status_code == 200


@pytest.mark.parametrize("word", ["", "Everyone", "everybody", "yes"])
def test_another_word_ends_nothing(client, alice, word):
    row = make_session(alice)
    response = client.post(PAGE, {"consent": word})
    assert response.context["form"].errors.keys() == {"consent"}
    (field,) = re.findall(r'<input[^>]*name="consent"[^>]*>', response.content.decode())
    assert "autofocus" in field
    assert row.pk in alive()
    assert not LogEntry.objects.exists()


def test_it_is_for_superusers(alice):
    row = make_session(alice)
    staff = make_staff("clerk")
    staff.user_permissions.set(Permission.objects.all())
    client = Client()
    client.force_login(staff)
    assert client.get(PAGE).status_code == 403
    assert client.post(PAGE, WORD).status_code == 403
    assert client.post(PAGE, {"note": "x"}).status_code == 403
    assert "everyone/" not in client.get(LIST).content.decode()
    client.force_login(alice)
    assert client.post(PAGE, WORD).status_code == 302
    assert row.pk in alive()


def test_the_list_leads_there(client):
    assert f'href="{PAGE}"' in client.get(LIST).content.decode()


def test_it_needs_the_csrf_token(boss, alice):
    row = make_session(alice)
    client = Client(enforce_csrf_checks=True)
    client.force_login(boss)
    assert client.post(PAGE, WORD).status_code == 403
    token = str(client.get(PAGE).context["csrf_token"])
    assert row.pk in alive()
    assert client.post(PAGE, WORD | {"csrfmiddlewaretoken": token}).status_code == 302
    assert row.pk not in alive()


def test_many_take_several_requests_and_newcomers_stay(client, own, alice, slow):
    for _ in range(5):
        make_session(alice)
    response = client.post(PAGE, WORD)
    html = response.content.decode()
    assert "2 sessions were ended so far." in html
    assert 'id="dsp-go-on"' in html
    assert "<progress" in html
    newcomer = make_session(alice)
    # Looking again, or at the page anew, ends nothing.
    assert "4 sessions end at once" in client.get(PAGE).content.decode()
    response = client.post(PAGE, note_in(response))
    assert "4 sessions were ended so far." in response.content.decode()
    assert 0 < response.context["note"].percent() <= 100
    response = client.post(PAGE, note_in(response), follow=True)
    assert "5 sessions were ended. Yours" in response.content.decode()
    assert alive() == {own.pk, newcomer.pk}
    numbers = [entry.change_message.split()[-1] for entry in LogEntry.objects.order_by("pk")]
    assert numbers == ["2.", "2.", "1."]


def test_sent_twice_it_counts_nothing_twice(client, alice, slow):
    for _ in range(6):
        make_session(alice)
    first = client.post(PAGE, WORD)
    once, again = (client.post(PAGE, note_in(first)) for _ in range(2))
    assert once.context["note"].ended == 4
    assert again.status_code == 302
    assert sum(int(e.change_message.split()[-1][:-1]) for e in LogEntry.objects.all()) == 6


def test_a_note_is_nobody_elses_and_cannot_be_made_up(client, alice, slow):
    for _ in range(9):
        make_session(alice)
    note = note_in(client.post(PAGE, WORD))
    before = alive()
    other = Client()
    other.force_login(User.objects.create_superuser("other"))
    left = alive()
    assert left > before
    forged = signing.dumps(signing.loads(note["note"], salt=everyone._SALT))
    for sender, text in [(other, note["note"]), (client, forged), (client, ""), (client, "a:b:c")]:
        response = sender.post(PAGE, {"note": text})
        assert (response.status_code, response["Location"]) == (302, PAGE)
    assert alive() == left


def test_one_request_ends_as_many_batches_as_it_has_time_for(client, alice, own, monkeypatch):
    monkeypatch.setattr(ending, "KEYS_PER_STATEMENT", 2)
    for _ in range(5):
        make_session(alice)
    assert client.post(PAGE, WORD)["Location"] == LIST
    assert alive() == {own.pk}


def test_how_far_it_has_come_goes_by_when_sessions_began():
    began = timezone.now()
    first, later, last = (
        str(tokens.first_id(began + timedelta(hours=hours))) for hours in (0, 3, 12)
    )
    note = everyone.Note(user="1", first=first, next=later, last=last)
    assert note.percent() == 25
    assert replace(note, next=first).percent() == 0
    assert replace(note, next=last).percent() == 100
    # Of one session, or of some that began together, there is no way to go.
    assert replace(note, last=first).percent() == 100


def test_a_note_is_good_for_an_hour(client, alice, slow, monkeypatch):
    for _ in range(3):
        make_session(alice)
    note = note_in(client.post(PAGE, WORD))
    monkeypatch.setattr(everyone, "_NOTE_AGE", -1)
    assert client.post(PAGE, note)["Location"] == PAGE


def test_one_session_is_told_as_one(client, alice):
    make_session(alice)
    assert "1 session ends at once" in client.get(PAGE).content.decode()


def test_with_nobody_else_there_is_nothing_to_do(client, own):
    make_session()
    assert "nobody else is signed in" in client.get(PAGE).content.decode()
    response = client.post(PAGE, WORD, follow=True)
    assert "0 sessions were ended." in response.content.decode()
    assert own.pk in alive()
    assert not LogEntry.objects.exists()


def test_no_secret_is_in_the_page_or_the_note(client, alice, own, slow):
    for _ in range(3):
        make_session(alice)
    response = client.post(PAGE, WORD)
    told = signing.loads(note_in(response)["note"], salt=everyone._SALT)
    assert told.keys() == {"user", "first", "next", "last", "ended", "settled_at"}
    digests = Session.objects.values_list("token_digest", flat=True)
    assert not [each for each in digests if each in response.content.decode()]

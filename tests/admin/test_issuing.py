"""Tokens issued from the admin: who may have one of whom, what is shown, what is logged."""

import re
from datetime import timedelta
from functools import partial
from html import unescape

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, Permission, User
from django.test import Client

from django_sessions_plus import sessions
from django_sessions_plus.accounts import issuing
from django_sessions_plus.admin.forms import ONCE_FIELD
from django_sessions_plus.jwt import access
from django_sessions_plus.models import Session
from tests.admin.site import make_staff
from tests.backends.drivers import SessionStore
from tests.backends.racing import racers, shared_database

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.admin.site")]

FORM = {"name": "nightly export", "transport": "bearer", "days": ""}


def url(user):
    return f"/own/django_sessions_plus/session/issue-token/{user.pk}/"


def signed_in(user, **options):
    client = Client(**options)
    client.force_login(user)
    return client


def form_of(client, user):
    """Return what the page has for the form to bring back, and the usual choices."""
    page = client.get(url(user)).context
    return FORM | {ONCE_FIELD: page["once"]} if page and page.get("once") else FORM


def issue(client, user, **chosen):
    return client.post(url(user), form_of(client, user) | chosen)


def shown_tokens(response):
    issued = response.context["issued"]
    return {} if issued is None else issued.tokens


def issued_sessions(user):
    return Session.objects.filter(user=user, name="nightly export")


@pytest.fixture
def operator(db):
    return make_staff("operator", "issue_token", "view_user")


# Who may


def test_an_operator_issues_a_token_for_a_plain_user(operator, alice):
    response = issue(signed_in(operator), alice)
    assert response.status_code == 200
    token = shown_tokens(response)["token"]
    assert response.content.decode().count(token) == 1
    assert SessionStore(token)["_auth_user_id"] == str(alice.pk)
    assert issued_sessions(alice).count() == 1


def test_without_the_permission_there_is_no_page(alice):
    client = signed_in(make_staff("clerk", "change_session", "view_session", "change_user"))
    assert client.get(url(alice)).status_code == 403
    assert issue(client, alice).status_code == 403
    assert not Session.objects.filter(user=alice).exists()


def test_without_the_permission_nobody_learns_who_there_is(alice):
    client = signed_in(make_staff("clerk"))
    nobody = User(pk=987654321)
    assert client.get(url(alice)).status_code == client.get(url(nobody)).status_code == 403


def test_the_permission_without_being_staff_is_not_enough(alice):
    visitor = User.objects.create_user("visitor")
    visitor.user_permissions.set(Permission.objects.filter(codename="issue_token"))
    response = issue(signed_in(visitor), alice)
    assert (response.status_code, response["Location"].partition("?")[0]) == (302, "/own/login/")
    assert not issued_sessions(alice).exists()


@pytest.mark.parametrize("who", ["superuser", "staff", "both", "with more", "with more by group"])
def test_nobody_gets_a_token_of_a_person_who_may_do_more(operator, alice, who):
    alice.is_superuser = who in ("superuser", "both")
    alice.is_staff = who in ("staff", "both")
    alice.save()
    more = Permission.objects.get(codename="introspect_token")
    if who == "with more":
        alice.user_permissions.add(more)
    elif who == "with more by group":
        group = Group.objects.create(name="services")
        group.permissions.add(more)
        alice.groups.add(group)
    client = signed_in(operator)
    assert client.get(url(alice)).status_code == 403
    assert issue(client, alice).status_code == 403
    assert not issued_sessions(alice).exists()
    assert not LogEntry.objects.exists()


def test_a_person_who_may_do_no_more_than_the_operator_is_no_obstacle(operator, alice):
    alice.user_permissions.set(Permission.objects.filter(codename="view_user"))
    assert shown_tokens(issue(signed_in(operator), alice))


def test_an_operator_gets_no_token_of_their_own_either(operator):
    assert issue(signed_in(operator), operator).status_code == 403


@pytest.mark.parametrize("who", ["plain", "staff", "superuser", "self"])
def test_a_superuser_issues_for_everybody(boss, who):
    users = {
        "plain": lambda: User.objects.create_user("plain"),
        "staff": lambda: make_staff("staff", "introspect_token"),
        "superuser": lambda: User.objects.create_superuser("other"),
        "self": lambda: boss,
    }
    assert shown_tokens(issue(signed_in(boss), users[who]()))


def test_a_superuser_who_is_inactive_may_not(boss, alice):
    boss.is_active = False
    assert not issuing.may_issue(boss, alice)


def test_a_user_model_without_permissions_is_compared_by_what_it_has(operator):
    class Bare:
        is_active = True

    assert issuing.may_issue(operator, Bare())
    assert not issuing.may_issue(Bare(), Bare())

    class Permitted(Bare):
        def has_perm(self, permission):
            return permission == issuing.PERMISSION

    assert issuing.may_issue(Permitted(), Bare())


@pytest.mark.parametrize("key", ["987654321", "nobody", "1/end", "_3B"])
def test_a_user_who_is_not_there_is_not_found(boss, key):
    client = signed_in(boss)
    address = f"/own/django_sessions_plus/session/issue-token/{key}/"
    assert client.get(address).status_code == 404
    assert client.post(address, FORM).status_code == 404


def test_an_inactive_user_is_refused_in_words(boss, alice):
    User.objects.filter(pk=alice.pk).update(is_active=False)
    response = issue(signed_in(boss), alice)
    assert "This user is inactive" in response.content.decode()
    assert shown_tokens(response) == {}
    assert not Session.objects.filter(user=alice).exists()
    assert not LogEntry.objects.exists()


# How


def test_it_needs_the_csrf_token(boss, alice):
    client = signed_in(boss, enforce_csrf_checks=True)
    assert issue(client, alice).status_code == 403
    assert not issued_sessions(alice).exists()
    page = client.get(url(alice))
    assert page.context["issued"] is None
    sent = form_of(client, alice) | {"csrfmiddlewaretoken": str(page.context["csrf_token"])}
    assert shown_tokens(client.post(url(alice), sent))


@pytest.mark.parametrize("method", ["get", "head"])
def test_looking_at_the_page_issues_nothing(boss, alice, method):
    response = getattr(signed_in(boss), method)(url(alice), FORM)
    assert response.status_code == 200
    assert not Session.objects.filter(user=alice).exists()


def test_the_page_is_kept_nowhere_and_tells_no_other_site_of_itself(boss, alice):
    response = issue(signed_in(boss), alice)
    assert "no-store" in response["Cache-Control"]
    # Not "no-referrer": a browser then hides where a form comes from, and Django refuses it.
    assert '<meta name="referrer" content="same-origin">' in response.content.decode()


def test_the_token_is_shown_once(boss, alice):
    client = signed_in(boss)
    token = shown_tokens(issue(client, alice))["token"]
    row = issued_sessions(alice).get()
    for address in (
        url(alice),
        f"/own/django_sessions_plus/session/{row.pk}/change/",
        f"/own/auth/user/{alice.pk}/history/",
        "/own/",
    ):
        assert token not in client.get(address).content.decode()
    assert token not in str(list(LogEntry.objects.values()))


@pytest.mark.parametrize("transport", issuing.TRANSPORTS)
def test_the_log_tells_who_for_whom_and_of_which_session(boss, alice, transport):
    tokens = shown_tokens(issue(signed_in(boss), alice, transport=transport))
    entry = LogEntry.objects.get()
    row = issued_sessions(alice).get()
    assert (entry.user, entry.object_id) == (boss, str(alice.pk))
    assert entry.change_message == f"Issued a token ({transport}) of session {row.pk}."
    for token in tokens.values():
        assert token not in str(vars(entry))


@pytest.mark.parametrize("transport", issuing.TRANSPORTS)
def test_what_cannot_be_logged_is_not_issued(boss, alice, monkeypatch, transport):
    def fail(self, *args, **kwargs):
        raise RuntimeError("no log")

    monkeypatch.setattr(LogEntry, "save", fail)
    client = signed_in(boss, raise_request_exception=False)
    assert issue(client, alice, transport=transport).status_code == 500
    assert not Session.objects.filter(user=alice).exists()


@pytest.mark.parametrize(
    ("setting", "value"),
    [("SESSIONS_PLUS_JWT_ALGORITHM", "RS256"), ("SESSIONS_PLUS_JWT_CLAIMS", "no.such.path")],
)
def test_settings_that_are_wrong_are_told_on_the_page(boss, alice, settings, setting, value):
    client = signed_in(boss)
    setattr(settings, setting, value)
    response = issue(client, alice, transport="jwt")
    assert response.status_code == 200
    (error,) = response.context["form"].non_field_errors()
    assert "Nothing was issued" in error
    assert "SESSIONS_PLUS_" in error
    assert not Session.objects.active().filter(user=alice).exists()
    assert not LogEntry.objects.exists()


# Once


def test_a_form_that_is_sent_twice_issues_once_and_says_so(boss, alice):
    client = signed_in(boss)
    form = form_of(client, alice)
    assert shown_tokens(client.post(url(alice), form))
    response = client.post(url(alice), form)
    assert response.status_code == 200
    assert shown_tokens(response) == {}
    assert "has been sent before" in response.content.decode()
    assert issued_sessions(alice).count() == LogEntry.objects.count() == 1
    again = FORM | {ONCE_FIELD: response.context["once"]}
    assert shown_tokens(client.post(url(alice), again))


@pytest.mark.parametrize("mark", [None, "", "made up"])
def test_a_form_this_session_was_not_shown_issues_nothing(boss, alice, mark):
    client = signed_in(boss)
    for _ in range(2):
        sent = FORM if mark is None else FORM | {ONCE_FIELD: mark}
        assert "has been sent before" in client.post(url(alice), sent).content.decode()
    assert not Session.objects.filter(user=alice).exists()


def test_a_form_that_was_filled_in_wrongly_can_be_sent_again(boss, alice):
    client = signed_in(boss)
    form = form_of(client, alice)
    assert client.post(url(alice), form | {"days": "x"}).context["once"] == form[ONCE_FIELD]
    assert shown_tokens(client.post(url(alice), form))


def test_forms_that_are_open_side_by_side_do_not_get_in_each_others_way(boss, alice):
    client = signed_in(boss)
    form = form_of(client, alice)
    form_of(client, alice)
    assert shown_tokens(client.post(url(alice), form))


@pytest.mark.django_db(transaction=True)
def test_of_forms_that_are_sent_at_the_same_moment_one_issues(boss, alice, tmp_path):
    with shared_database(tmp_path), racers(4) as racing:
        client = signed_in(boss)
        form = form_of(client, alice)
        browsers = [Client() for _ in range(4)]
        for browser in browsers:
            browser.cookies = client.cookies
        responses = racing.run(*[partial(each.post, url(alice), form) for each in browsers])
        assert [response.status_code for response in responses] == [200] * 4
        # Test clients that work side by side take each other's contexts for their own.
        pages = [response.content.decode() for response in responses]
        assert sum("Copy it now" in page for page in pages) == 1
        assert sum("has been sent before" in page for page in pages) == 3
        assert issued_sessions(alice).count() == 1


def test_a_pair_is_issued_as_well(boss, alice):
    tokens = shown_tokens(issue(signed_in(boss), alice, transport="jwt"))
    assert list(tokens) == ["access", "refresh"]
    assert access.verify(tokens["access"]).session_id == issued_sessions(alice).get().pk


def test_it_lasts_as_many_days_as_are_asked_for(boss, alice, clock):
    issue(signed_in(boss), alice, days="3")
    assert issued_sessions(alice).get().expires_at == clock.now() + timedelta(days=3)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("days", value) for value in ("31", "0", "-1", "x", "1e9", str(10**30))),
        *(("transport", value) for value in ("", "cookie", "x")),
        *(("name", value) for value in ("", " ", "x" * 101, "a\0b")),
    ],
)
def test_what_is_filled_in_wrongly_issues_nothing(boss, alice, field, value):
    response = issue(signed_in(boss), alice, **{field: value})
    assert response.status_code == 200
    assert response.context["form"].errors.keys() == {field}
    assert not Session.objects.filter(user=alice).exists()


def test_more_days_than_sessions_last_are_refused_in_words(boss, alice, settings):
    response = issue(signed_in(boss), alice, days="31")
    assert "Sessions last at most 30 days." in unescape(response.content.decode())
    settings.SESSIONS_PLUS_ABSOLUTE_AGE = None
    assert shown_tokens(issue(signed_in(boss), alice, days="31"))


def test_the_most_days_are_those_of_the_kind_of_token(boss, alice, settings):
    settings.SESSIONS_PLUS_LIFETIMES = {"bearer": {"absolute": timedelta(days=90)}}
    client = signed_in(boss)
    assert shown_tokens(issue(client, alice, days="90"))
    for transport, days, most in (("bearer", "91", 90), ("jwt", "31", 30)):
        response = issue(client, alice, transport=transport, days=days)
        assert f"Sessions last at most {most} days." in unescape(response.content.decode())


def test_a_session_that_is_not_fresh_issues_nothing(boss, alice, clock):
    client = signed_in(boss)
    clock.advance(minutes=15)
    for response in (client.get(url(alice)), issue(client, alice)):
        assert "Sign out and in again" in response.content.decode()
        assert shown_tokens(response) == {}
    assert not issued_sessions(alice).exists()


def test_the_fresh_session_of_somebody_else_is_not_enough(boss, alice, monkeypatch):
    client = signed_in(boss)
    hers = sessions.start(alice).row
    monkeypatch.setattr(sessions, "resolve", lambda request: hers)
    assert "Sign out and in again" in issue(client, alice).content.decode()
    assert not issued_sessions(alice).exists()


def test_where_people_can_authenticate_again_they_are_sent_there(boss, alice, clock, settings):
    settings.SESSIONS_PLUS_REAUTHENTICATE_URL = "/again/"
    client = signed_in(boss)
    assert client.get(url(alice)).status_code == 200
    clock.advance(minutes=15)
    response = issue(client, alice)
    assert response.status_code == 302
    assert response["Location"] == f"/again/?next={url(alice)}"


# For the keyboard and for screen readers


def test_the_token_is_a_field_that_can_be_selected_and_has_the_focus(boss, alice):
    html = issue(signed_in(boss), alice).content.decode()
    (field,) = re.findall(r"<input[^>]*dsp-token-token[^>]*>", html)
    token = re.search(r'value="(\w{32})"', field)
    assert token is not None
    assert " readonly " in field
    assert " autofocus" in field
    assert html.count(token[1]) == 1
    assert '<label for="dsp-token-token">' in html
    assert 'data-copies="dsp-token-token"' in html
    assert re.search(r"It expires on [^<]*\d\d:\d\d:\d\d CS?T", html.replace("CDT", "CST"))


def test_what_is_filled_in_wrongly_has_the_focus(boss, alice):
    html = issue(signed_in(boss), alice, days="0").content.decode()
    (field,) = re.findall(r'<input[^>]*name="days"[^>]*>', html)
    assert " autofocus" in field
    assert html.count("autofocus") == 1


def test_an_error_of_the_whole_form_has_the_focus(boss, alice):
    client = signed_in(boss)
    first = form_of(client, alice)
    client.post(url(alice), first)
    html = client.post(url(alice), first).content.decode()
    assert re.search(
        r'<div role="alert" tabindex="-1" autofocus>\s*<ul class="errorlist nonfield', html
    )


# The button


def test_the_users_page_offers_it_to_whom_it_is_for(boss, operator, alice):
    link = f'href="{url(alice)}"'
    page = f"/own/auth/user/{alice.pk}/change/"
    assert link in signed_in(boss).get(page).content.decode()
    assert link in signed_in(operator).get(page).content.decode()
    clerk = make_staff("clerk", "view_user", "change_session")
    assert link not in signed_in(clerk).get(page).content.decode()


def test_the_users_page_does_not_offer_what_would_be_refused(boss, operator, alice):
    page = f"/own/auth/user/{boss.pk}/change/"
    assert url(boss) not in signed_in(operator).get(page).content.decode()
    User.objects.filter(pk=alice.pk).update(is_active=False)
    page = f"/own/auth/user/{alice.pk}/change/"
    assert url(alice) not in signed_in(boss).get(page).content.decode()


def test_its_session_is_linked_for_whom_may_see_it(boss, operator, alice):
    response = issue(signed_in(boss), alice)
    row = issued_sessions(alice).get()
    assert f"/session/{row.pk}/change/" in response.content.decode()
    assert "/change/" not in issue(signed_in(operator), alice).content.decode()


def test_the_permissions_have_one_name_whatever_the_model():
    names = Permission.objects.filter(codename__in=["issue_token", "introspect_token"])
    assert {str(permission.content_type.app_label) for permission in names} == {
        "django_sessions_plus"
    }
    assert names.count() == 2

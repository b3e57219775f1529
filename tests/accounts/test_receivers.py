"""What ends or renews sessions without anybody calling a verb."""

from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth import alogin, get_user_model, login
from django.contrib.auth.hashers import make_password
from django.contrib.auth.signals import user_logged_in
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.test import Client, override_settings
from django.utils import timezone

from django_sessions_plus import sessions
from django_sessions_plus.accounts.receivers import connect, renew_session
from django_sessions_plus.checks.values import check_names
from django_sessions_plus.exceptions import ConfigurationError
from django_sessions_plus.middleware import SessionMiddleware
from django_sessions_plus.models import Session
from django_sessions_plus.policy import EndReason
from django_sessions_plus.signals import session_ended
from django_sessions_plus.tokens import digest

User = get_user_model()
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.site")]


@pytest.fixture
def ada():
    return User.objects.create_user("ada", password="lovelace")


def sign_in(user: Any) -> Client:
    client = Client()
    client.force_login(user)
    return client


def reasons() -> list[str]:
    return sorted(Session.objects.values_list("end_reason", flat=True))


def test_a_changed_password_ends_all_sessions_when_none_of_them_changed_it(ada):
    sign_in(ada), sign_in(ada)
    ada.set_password("byron")
    ada.save()
    assert reasons() == [EndReason.PASSWORD_CHANGED] * 2


def test_the_session_that_changed_the_password_lives_on_under_a_new_token(ada):
    here, elsewhere = sign_in(ada), sign_in(ada)
    before = here.cookies["sessionid"].value
    answer = here.post("/password", {"new": "byron"})
    assert answer.status_code == 200
    assert here.cookies["sessionid"].value != before
    assert here.get("/who").content == b"ada"
    assert elsewhere.get("/who").content == b""
    assert reasons() == ["", EndReason.PASSWORD_CHANGED]


def test_the_session_that_changed_the_password_is_known_even_if_the_commit_comes_later(ada):
    here, elsewhere = sign_in(ada), sign_in(ada)
    with transaction.atomic():
        here.post("/password", {"new": "byron"})
    assert here.get("/who").content == b"ada"
    assert elsewhere.get("/who").content == b""


def test_whose_session_changed_the_password_is_recorded(ada):
    here, _ = sign_in(ada), sign_in(ada)
    here.post("/password", {"new": "byron"})
    assert Session.objects.ended().get().ended_by == ada


def test_an_admin_who_changes_a_password_keeps_his_own_session(ada):
    admin = sign_in(User.objects.create_user("grace"))
    theirs = sign_in(ada)
    admin.post("/password", {"new": "byron", "of": ada.pk})
    assert admin.get("/who").content == b"grace"
    assert theirs.get("/who").content == b""


def test_django_refuses_the_old_auth_hash_and_the_row_says_why(ada):
    client = sign_in(ada)
    User.objects.update(password=make_password("byron"))
    assert client.get("/who").content == b""
    assert reasons() == [EndReason.PASSWORD_CHANGED]


def test_an_upgrade_of_the_password_hash_ends_nothing(ada, settings):
    sign_in(ada)
    settings.PASSWORD_HASHERS = [
        "django.contrib.auth.hashers.PBKDF2PasswordHasher",
        "django.contrib.auth.hashers.MD5PasswordHasher",
    ]
    assert ada.check_password("lovelace")
    assert User.objects.get().password.startswith("pbkdf2")
    assert reasons() == [""]


def test_a_rolled_back_password_change_ends_nothing(ada):
    sign_in(ada)
    with transaction.atomic():
        ada.set_password("byron")
        ada.save()
        transaction.set_rollback(True)
    assert reasons() == [""]


def test_saving_a_user_without_a_new_password_ends_nothing(ada):
    sign_in(ada)
    ada.email = "ada@example.org"
    ada.save()
    assert reasons() == [""]


def test_a_new_user_has_no_sessions_to_look_for(django_assert_num_queries):
    grace = User(username="grace")
    grace.set_password("hopper")
    with django_assert_num_queries(1):
        grace.save()


def test_a_user_saved_as_inactive_loses_all_sessions(ada):
    client = sign_in(ada)
    ada.is_active = False
    ada.save()
    assert reasons() == [EndReason.USER_DEACTIVATED]
    assert client.get("/who").content == b""


def test_a_user_made_inactive_behind_our_back_is_nobody_at_the_next_request(ada):
    client = sign_in(ada)
    User.objects.update(is_active=False)
    assert client.get("/who").content == b""


@pytest.mark.parametrize("name", ["END_ON_PASSWORD_CHANGE", "END_ON_DEACTIVATION"])
def test_no_setting_lists_sessions_as_active_that_open_nothing(ada, settings, name):
    """Django's auth hash and ``is_active`` refuse them at their next use, whatever a setting says."""
    setattr(settings, f"SESSIONS_PLUS_{name}", False)
    sign_in(ada)
    ada.set_password("byron")
    ada.is_active = name != "END_ON_DEACTIVATION"
    ada.save()
    assert not sessions.list_for(ada).exists()
    (problem,) = check_names()
    assert name in problem.msg


def test_a_deleted_user_takes_the_sessions_along_and_that_is_told(ada):
    told = []
    client = sign_in(ada)
    session_ended.connect(
        receiver := lambda reason, session, **kwargs: told.append((reason, session.pk))
    )
    row = Session.objects.get()
    ada.delete()
    session_ended.disconnect(receiver)
    assert told == [(EndReason.USER_DELETED, row.pk)]
    assert not Session.objects.exists()
    assert client.get("/who").content == b""


def test_a_user_who_deletes_himself_is_signed_out_cleanly(ada):
    client = sign_in(ada)
    answer = client.post("/vanish")
    assert answer.status_code == 200
    assert answer.cookies["sessionid"].value == ""
    assert answer.content == b""


def test_signing_in_again_as_the_same_user_rotates_the_token(ada):
    client = Client()
    client.post("/sign-in", {"user": "ada"})
    first, row = client.cookies["sessionid"].value, Session.objects.get()
    client.post("/sign-in", {"user": "ada"})
    again = Session.objects.get()
    assert client.cookies["sessionid"].value != first
    assert (again.pk, again.created_at) == (row.pk, row.created_at)
    assert again.authenticated_at > row.authenticated_at
    thief = Client()
    thief.cookies["sessionid"] = first
    assert thief.get("/who").content == b""


def test_signing_in_as_somebody_else_ends_the_first_session(ada):
    User.objects.create_user("grace")
    client = Client()
    client.post("/sign-in", {"user": "ada"})
    client.post("/sign-in", {"user": "grace"})
    assert client.get("/who").content == b"grace"
    assert reasons() == ["", EndReason.SIGNED_OUT]


class TestLimit:
    @pytest.fixture(autouse=True)
    def two_sessions(self, settings):
        settings.SESSIONS_PLUS_MAX_PER_USER = 2

    def test_a_further_sign_in_ends_the_least_recently_seen(self, ada):
        first, second, third = sign_in(ada), sign_in(ada), sign_in(ada)
        assert [c.get("/who").content for c in (first, second, third)] == [b"", b"ada", b"ada"]
        assert reasons() == ["", "", EndReason.LIMIT]

    def test_the_newcomer_is_kept_even_if_all_others_were_seen_after_it(self, ada):
        sign_in(ada), sign_in(ada)
        newcomer = Session.objects.order_by("pk").first()
        Session.objects.update(last_seen_at=timezone.now() + timedelta(minutes=1))
        Session.objects.filter(pk=newcomer.pk).update(last_seen_at=timezone.now())
        with override_settings(SESSIONS_PLUS_MAX_PER_USER=1):
            assert sessions.enforce_limit(ada, keep=newcomer) == 1
        assert sessions.list_for(ada).get() == newcomer

    def test_others_are_not_counted(self, ada):
        sign_in(User.objects.create_user("grace"))
        sign_in(ada), sign_in(ada)
        assert reasons() == ["", "", ""]

    def test_the_newcomer_is_kept_even_at_a_limit_of_one(self, ada, settings):
        settings.SESSIONS_PLUS_MAX_PER_USER = 1
        first, second = sign_in(ada), sign_in(ada)
        assert (first.get("/who").content, second.get("/who").content) == (b"", b"ada")

    @pytest.mark.parametrize(
        "limit", [lambda user: 1, "tests.accounts.test_receivers.one_for_everybody"]
    )
    def test_a_callable_or_its_path_decides_for_each_user(self, ada, settings, limit):
        settings.SESSIONS_PLUS_MAX_PER_USER = limit
        sign_in(ada), sign_in(ada)
        assert reasons() == ["", EndReason.LIMIT]

    def test_a_callable_that_gives_nonsense_is_a_configuration_error(self, ada, settings):
        settings.SESSIONS_PLUS_MAX_PER_USER = lambda user: -1
        session = Session(user=ada)
        with pytest.raises(ConfigurationError, match="MAX_PER_USER"):
            sessions.enforce_limit(ada, keep=session)


def one_for_everybody(user: object) -> int:
    return 1


class TestSignInAgain:
    """The same person signs in in an open session: the token rotates, and receivers know the new one."""

    @pytest.fixture(params=["sync", "async"])
    def answer(self, request, ada):
        def serve(token, status=200):
            http_request = HttpRequest()
            http_request.COOKIES["sessionid"] = token

            def view(got):
                login(got, ada, backend="django.contrib.auth.backends.ModelBackend")
                return HttpResponse(status=status)

            async def aview(got):
                await alogin(got, ada, backend="django.contrib.auth.backends.ModelBackend")
                return HttpResponse(status=status)

            if request.param == "sync":
                return SessionMiddleware(view)(http_request)
            return async_to_sync(SessionMiddleware(aview))(http_request)

        return serve

    @pytest.fixture
    def seen(self):
        seen = []

        def receive(request, **kwargs):
            seen.append(request.session.session_key)

        user_logged_in.connect(receive)
        yield seen
        user_logged_in.disconnect(receive)

    def test_receivers_see_the_key_that_the_cookie_will_have(self, ada, answer, seen):
        before = sign_in(ada).cookies["sessionid"].value
        seen.clear()
        response = answer(before)
        (key,) = seen
        assert key == response.cookies["sessionid"].value != before
        assert Session.objects.get().token_digest == digest(key)

    def test_also_where_the_receiver_saves_the_session(self, ada, answer, seen):
        def save(request, **kwargs):
            request.session["seen"] = request.session.session_key
            request.session.save()

        user_logged_in.connect(save)
        try:
            response = answer(sign_in(ada).cookies["sessionid"].value)
        finally:
            user_logged_in.disconnect(save)
        key = response.cookies["sessionid"].value
        assert seen[-1] == key
        assert Session.objects.get().get_decoded()["seen"] == key

    def test_a_response_that_fails_leaves_the_browser_signed_in(self, ada, answer):
        before = sign_in(ada).cookies["sessionid"].value
        assert "sessionid" not in answer(before, status=500).cookies
        assert Session.objects.get().token_digest == digest(before)

    def test_a_view_that_rotates_the_token_itself_has_the_last_word(self, ada, seen):
        before = sign_in(ada).cookies["sessionid"].value
        http_request = HttpRequest()
        http_request.COOKIES["sessionid"] = before

        def view(got):
            login(got, ada, backend="django.contrib.auth.backends.ModelBackend")
            key = got.session.session_key
            got.session.cycle_key()
            assert got.session.session_key not in {key, before}
            return HttpResponse()

        response = SessionMiddleware(view)(http_request)
        assert Session.objects.get().token_digest == digest(response.cookies["sessionid"].value)

    def test_it_happens_before_every_other_receiver(self, ada):
        """Those of apps that come earlier in INSTALLED_APPS, such as Django's own, are connected before."""
        # Apps are ready once more where a test changes INSTALLED_APPS.
        connect()
        answers = user_logged_in.send(sender=User, request=None, user=ada)
        assert answers[0] == (renew_session, None)

    def test_it_stays_the_first_when_everything_is_connected_once_more(self, ada):
        connect()
        answers = user_logged_in.send(sender=User, request=None, user=ada)
        assert [receiver for receiver, _ in answers].index(renew_session) == 0

"""The devices page and what it does: list, end one, end the others, sign out, the password again."""

from __future__ import annotations

import asyncio
import re
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from django.test import AsyncClient, Client, override_settings
from django.urls import reverse
from django.utils import timezone, translation

from django_sessions_plus import sessions, tokens
from django_sessions_plus.accounts import attempts, reauthentication
from django_sessions_plus.models import Session
from django_sessions_plus.policy import EndReason
from django_sessions_plus.presentation import keyset, wording
from tests import example_site

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.pages_urls")]

PASSWORD = "flow-matic-1955"
DEVICES = "/account/devices/"
OTHERS = f"{DEVICES}end-others/"
CONFIRM = f"{DEVICES}confirm-password/"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:139.0) Gecko/20100101 Firefox/139.0"
EVIL = "https://evil.example/"


@pytest.fixture(autouse=True)
def _no_attempts():
    cache.clear()


@pytest.fixture
def ada() -> User:
    return User.objects.create_user("ada", password=PASSWORD)


@pytest.fixture
def browser(ada) -> Client:
    client = Client(headers={"user-agent": FIREFOX}, REMOTE_ADDR="192.0.2.9")
    client.post("/sign-in", {"user": "ada"})
    return client


def add(user: User, **columns: Any) -> Session:
    """Add a session of somebody elsewhere."""
    now = timezone.now()
    columns = {
        "token_digest": tokens.digest(tokens.make_token()),
        "authenticated_at": now - timedelta(hours=1),
        "last_seen_at": now - timedelta(minutes=30),
        "expires_at": now + timedelta(days=1),
        "user_agent": FIREFOX,
        **columns,
    }
    return Session.objects.create(user=user, **columns)


def add_ended(user: User, ended: timedelta = timedelta(hours=2), **columns: Any) -> Session:
    moment = timezone.now() - ended
    reason = {"end_reason": EndReason.SIGNED_OUT, **columns}
    return add(user, ended_at=moment, expires_at=moment, **reason)


def grow_stale() -> None:
    Session.objects.update(authenticated_at=timezone.now() - timedelta(hours=1))


def end(session: Session) -> str:
    return f"{DEVICES}{session.pk}/end/"


def text_of(answer: Any) -> str:
    page = re.sub(r"<[^>]+>", " ", answer.content.decode())
    return re.sub(r"\s+", " ", page)


def says(answer: Any) -> list[str]:
    return re.findall(r'<p class="dsp-message[^>]*>([^<]*)</p>', answer.content.decode())


# The list


def test_it_shows_where_one_is_signed_in_the_session_in_hand_apart(browser, ada):
    add(ada, ip_address="198.51.100.7", user_agent="curl/8.14.1")

    page = browser.get(DEVICES)

    assert page.context["current"].session == Session.objects.get(ip_address="192.0.2.9")
    assert page.content.decode().count('aria-current="true"') == 1
    text = text_of(page)
    assert "Firefox on Linux This device 192.0.2.9 Browser Active now Signed in" in text
    assert "curl 198.51.100.7 App or script Last active 30 minutes ago Signed in 1 hour ago" in text


def test_sessions_of_the_same_browser_are_told_apart_by_their_first_use(browser, ada):
    other = add(ada, created_at=timezone.now() - timedelta(days=3, seconds=7))
    add(ada, user_agent="curl/8.14.1")
    page = browser.get(DEVICES)
    when = wording.exactly(other.created_at)
    assert when.endswith(" CST")
    assert f'aria-label="End session Firefox on Linux, first seen {when}"' in page.content.decode()
    assert text_of(page).count("First seen") == 2
    assert 'aria-label="End session curl"' in page.content.decode()


def test_they_are_told_apart_by_their_place_as_well(browser, ada, monkeypatch):
    places = {"192.0.2.9": "London, United Kingdom", "198.51.100.7": "Lyon, France"}
    monkeypatch.setattr("django_sessions_plus.presentation.entries.place_of", places.get)
    other = add(ada, ip_address="198.51.100.7")
    text = text_of(browser.get(DEVICES))
    assert "Firefox on Linux This device London, United Kingdom 192.0.2.9" in text
    assert "Firefox on Linux Lyon, France 198.51.100.7" in text
    assert "Lyon, France 198.51.100.7" in text_of(browser.get(end(other)))


def test_an_issued_token_goes_by_its_name_everywhere(browser, ada):
    token = add(ada, authenticated_at=None, name="nightly export")
    page = browser.get(DEVICES)
    assert "nightly export Firefox on Linux Issued token" in text_of(page)
    assert 'aria-label="End session nightly export"' in page.content.decode()
    assert "nightly export" in text_of(browser.get(end(token)))
    browser.post(end(token))
    assert says(browser.get(DEVICES)) == ["nightly export is signed out."]


def test_it_says_why_a_session_will_be_asked_for_the_password(ada, browser):
    add(ada)
    text = "Used from another browser or network since."
    assert text not in browser.get(DEVICES).content.decode()
    Session.objects.update(reauthentication_required=True)
    assert browser.get(DEVICES).content.decode().count(text) == 2


def test_the_page_leads_to_the_one_for_a_new_password_and_back(browser, settings):
    assert "Change your password" not in text_of(browser.get(DEVICES))
    settings.SESSIONS_PLUS_PASSWORD_URL = "/password/?theme=dark"
    link = 'href="/password/?theme=dark&amp;next=%2Faccount%2Fdevices%2F"'
    assert link in browser.get(DEVICES).content.decode()


def test_the_exact_time_is_told_to_machines_and_on_demand(browser, ada):
    other = add(ada)
    page = browser.get(DEVICES).content.decode()
    exact = timezone.localtime(other.last_seen_at).isoformat(timespec="seconds")
    assert re.search(rf'<time datetime="{re.escape(exact)}" title="[^"]+20\d\d[^"]* CST">', page)


def test_those_of_others_and_those_that_are_over_are_not_among_them(browser, ada):
    eve = User.objects.create_user("eve")
    add(eve)
    add_ended(ada)
    add(ada, expires_at=timezone.now() - timedelta(hours=1))
    page = browser.get(DEVICES)
    assert page.context["others"] == []
    assert "You are signed in nowhere else." in text_of(page)
    assert "End all others" not in text_of(page)


def test_nobody_is_sent_to_sign_in_and_leaves_no_row(client):
    for path in (DEVICES, OTHERS, CONFIRM):
        assert client.get(path)["Location"] == f"/accounts/login/?next={path}"
    assert not Session.objects.exists()


@pytest.mark.parametrize("path", [DEVICES, OTHERS, CONFIRM])
def test_no_page_is_kept_framed_or_told_to_other_sites(browser, ada, path):
    add(ada)
    answer = browser.get(path)
    assert answer.status_code == 200
    assert "no-store" in answer["Cache-Control"]
    assert answer["X-Frame-Options"] == "DENY"
    assert answer["Referrer-Policy"] == "same-origin"
    assert "Cookie" in answer["Vary"]
    assert not re.search(r"<script|<style|\sstyle=|\son[a-z]+=", answer.content.decode())


@pytest.mark.parametrize("has_middleware", [True, False])
def test_no_refusal_is_kept_framed_or_told_to_other_sites_either(ada, settings, has_middleware):
    if not has_middleware:
        settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if "Csrf" not in name]
    browser = Client(enforce_csrf_checks=True, raise_request_exception=False)
    browser.force_login(ada)
    refusals = {
        browser.post(OTHERS): 403,
        browser.post(f"{DEVICES}sign-out/"): 403,
        browser.get(f"{DEVICES}{uuid4()}/end/"): 404,
        browser.get(f"{DEVICES}?{keyset.PARAMETER}=made-up"): 404,
        browser.get(f"{DEVICES}sign-out/"): 405,
    }
    for answer, status in refusals.items():
        assert answer.status_code == status
        assert "no-store" in answer["Cache-Control"], status
        assert answer["X-Frame-Options"] == "DENY"
        # What CSRF protection refuses does not get as far as the page.
        assert status == 403 or answer["Referrer-Policy"] == "same-origin"


@pytest.mark.parametrize("number", [0, 1, 9, 999])
def test_it_costs_three_queries_however_many_sessions_there_are(
    browser, ada, django_assert_num_queries, number
):
    row = add(ada)
    Session.objects.bulk_create(
        Session(
            user=ada,
            token_digest=tokens.digest(tokens.make_token()),
            authenticated_at=row.authenticated_at,
            expires_at=row.expires_at,
            user_agent=FIREFOX,
            ended_at=row.created_at if n % 3 == 0 else None,
        )
        for n in range(number)
    )
    if number == 0:
        row.delete()
    # Session and person; a page of the others; what ended of late.
    with django_assert_num_queries(3):
        browser.get(DEVICES)


def test_a_thousand_are_shown_in_pages_that_neither_repeat_nor_hide_any(browser, ada):
    mine = {add(ada, last_seen_at=timezone.now() - timedelta(minutes=n)).pk for n in range(45)}
    seen, path = [], DEVICES
    while path:
        page = browser.get(path)
        seen += [entry.session.pk for entry in page.context["others"]]
        following = page.context["next_page"]
        path = f"{DEVICES}?cursor={following}" if following else ""
        assert f'href="{path.removeprefix(DEVICES)}"' in page.content.decode() or not path
    assert len(seen) == len(set(seen)) == 45
    assert set(seen) == mine
    back = page.context["previous_page"]
    assert browser.get(f"{DEVICES}?cursor={back}").context["others"][0].session.pk in mine


@pytest.mark.parametrize("cursor", ["x", "n", "bjE", "' or 1=1", "é", "a" * 5000])
def test_a_cursor_that_was_never_given_out_is_404(browser, cursor):
    assert browser.get(DEVICES, {"cursor": cursor}).status_code == 404


def test_a_page_whose_sessions_have_gone_leads_back_to_the_front(browser, ada):
    rows = [add(ada, last_seen_at=timezone.now() - timedelta(minutes=n)) for n in range(21)]
    following = browser.get(DEVICES).context["next_page"]
    rows[-1].delete()
    page = browser.get(DEVICES, {"cursor": following})
    assert "There are no more sessions on this page." in text_of(page)
    assert f'href="{DEVICES}"' in page.content.decode()


def test_a_session_started_by_other_means_has_no_row_and_the_page_still_works(ada):
    """As when a proxy signs people in: there is a person, and the session is anonymous."""
    add(ada)
    with override_settings(
        MIDDLEWARE=[
            "django_sessions_plus.middleware.SessionMiddleware",
            "django.middleware.csrf.CsrfViewMiddleware",
            "tests.pages.test_pages.signed_in_by_proxy",
        ]
    ):
        page, form = Client().get(DEVICES), Client().post(CONFIRM, {"password": PASSWORD})
    assert 'type="password"' not in form.content.decode()
    assert Session.objects.count() == 1
    assert page.context["current"] is None
    assert len(page.context["others"]) == 1
    assert "This device" not in text_of(page)


def signed_in_by_proxy(get_response: Any) -> Any:
    def middleware(request: Any) -> Any:
        request.user = User.objects.get(username="ada")
        return get_response(request)

    return middleware


@pytest.mark.django_db(transaction=True)
def test_it_works_under_asgi(ada):
    async def visit() -> Any:
        client = AsyncClient()
        await client.aforce_login(ada)
        return await client.get(DEVICES)

    assert asyncio.run(visit()).status_code == 200


# Kinds of access


def test_the_kind_of_access_is_what_the_row_can_tell(browser, ada):
    now = timezone.now()
    add(ada, authenticated_at=None, user_agent="nightly export")
    add(ada, refresh_started_at=now, user_agent="MyApp/1.0")
    add(ada, user_agent="python-requests/2.32")
    text = text_of(browser.get(DEVICES))
    assert "Issued token" in text
    assert "Calls itself “ nightly export ”" in text
    assert re.search(r"Issued .{0,9}just now", text)
    assert "API with refresh token" in text
    assert "App or script" in text


def test_what_cannot_be_undone_by_signing_in_is_asked_about_first(browser, ada):
    issued = add(ada, authenticated_at=None, user_agent="nightly export")
    page = browser.get(DEVICES).content.decode()
    assert f'<a class="dsp-button" href="{end(issued)}"' in page
    assert "needs a new one" in text_of(browser.get(end(issued)))


# History


def test_the_history_tells_what_ended_and_why(browser, ada):
    boss = User.objects.create_user("boss")
    for reason in EndReason:
        add_ended(ada, end_reason=reason)
    add_ended(ada, end_reason=EndReason.REVOKED, ended_by=ada)
    add_ended(ada, end_reason=EndReason.REVOKED, ended_by=boss)
    add_ended(ada, end_reason="moved_away")
    add(ada, expires_at=timezone.now() - timedelta(hours=3))
    add_ended(ada, ended=timedelta(days=8), end_reason="long_ago")
    page = browser.get(DEVICES)
    text = text_of(page)
    for said in (
        "Ended in the last 7 days",
        "Signed out.",
        "Ended. ",
        "Ended by you.",
        "Ended by an administrator.",
        "Ended to make room for a newer sign-in.",
        "Ended because the password was changed.",
        "Ended because the account was deactivated.",
        "Ended for your safety",
        "User deleted",
        "Moved_away",
        "Expired.",
    ):
        assert said in text, said
    assert "ong_ago" not in text
    assert "boss" not in text
    assert "<details" in page.content.decode()


def test_the_history_is_bounded_and_says_so(browser, ada):
    for _ in range(20):
        add_ended(ada)
    assert "Only the last" not in text_of(browser.get(DEVICES))
    add_ended(ada)
    page = browser.get(DEVICES)
    assert "Only the last 20 are shown." in text_of(page)
    assert len(page.context["history"]) == 20


# End one


def test_one_is_ended_by_a_post_that_redirects_and_tells(browser, ada):
    other = add(ada)
    answer = browser.post(end(other))
    assert (answer.status_code, answer["Location"]) == (302, DEVICES)
    page = browser.get(DEVICES)
    assert says(page) == ["Firefox on Linux is signed out."]
    assert 'role="status" tabindex="-1" autofocus' in page.content.decode()
    other.refresh_from_db()
    assert (other.end_reason, other.ended_by) == ("revoked", ada)
    assert says(browser.get(DEVICES)) == []


def test_a_get_only_asks(browser, ada):
    other = add(ada)
    assert "End this session?" in text_of(browser.get(end(other)))
    other.refresh_from_db()
    assert other.is_active()


@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize("fresh", [True, False])
def test_those_of_others_and_unknown_ids_are_404(browser, ada, method, fresh):
    theirs = add(User.objects.create_user("eve"))
    nobodys = Session.objects.create(
        token_digest="0" * 64, expires_at=timezone.now() + timedelta(days=1)
    )
    if not fresh:
        grow_stale()
    for pk in (theirs.pk, nobodys.pk, tokens.make_id(), "1", "x" * 36):
        assert getattr(browser, method)(f"{DEVICES}{pk}/end/").status_code == 404
    theirs.refresh_from_db()
    assert theirs.is_active()


@pytest.mark.parametrize("method", ["get", "post"])
def test_one_that_ended_between_page_and_click_is_no_error(browser, ada, method):
    other = add_ended(ada)
    answer = getattr(browser, method)(end(other), follow=True)
    assert says(answer) == ["Firefox on Linux was signed out already."]
    other.refresh_from_db()
    assert other.end_reason == "signed_out"


def test_one_that_ends_in_the_same_moment_is_told_as_it_was(browser, ada, monkeypatch):
    other = add(ada)
    monkeypatch.setattr(sessions, "revoke", lambda *args, **kwargs: False)
    answer = browser.post(end(other), follow=True)
    assert says(answer) == ["Firefox on Linux was signed out already."]


def test_one_returns_to_the_page_of_the_list_one_was_on(browser, ada):
    rows = [add(ada, last_seen_at=timezone.now() - timedelta(minutes=n)) for n in range(22)]
    following = browser.get(DEVICES).context["next_page"]
    address = f"{end(rows[-1])}?cursor={following}"
    assert f'action="{address}"' in browser.get(DEVICES, {"cursor": following}).content.decode()
    assert browser.post(address)["Location"] == f"{DEVICES}?cursor={following}"
    assert browser.post(f"{end(rows[-2])}?cursor={EVIL}")["Location"] == DEVICES


def test_to_end_the_session_in_hand_is_to_sign_out(browser):
    current = Session.objects.get()
    assert browser.get(end(current))["Location"] == DEVICES
    answer = browser.post(end(current))
    assert answer["Location"] == "/accounts/login/"
    assert answer.cookies["sessionid"]["max-age"] == 0
    current.refresh_from_db()
    assert current.end_reason == "signed_out"
    assert browser.get(DEVICES).status_code == 302


# End the others


def test_the_others_are_ended_after_a_question(browser, ada):
    for _ in range(3):
        add(ada)
    theirs = add(User.objects.create_user("eve"))
    assert "3 sessions end immediately." in text_of(browser.get(OTHERS))
    assert Session.objects.active().count() == 5
    answer = browser.post(OTHERS, follow=True)
    assert says(answer) == ["3 other sessions are ended."]
    assert set(Session.objects.active().exclude(pk=theirs.pk)) == {
        answer.context["current"].session
    }
    theirs.refresh_from_db()
    assert theirs.is_active()


@pytest.mark.parametrize("method", ["get", "post"])
def test_without_any_other_it_says_so(browser, method):
    answer = getattr(browser, method)(OTHERS, follow=True)
    assert says(answer) == ["There was no other session to end."]


# Sign out


def test_sign_out_takes_a_post_and_leads_to_sign_in(browser, settings):
    assert browser.get(f"{DEVICES}sign-out/").status_code == 405
    answer = browser.post(f"{DEVICES}sign-out/")
    assert answer["Location"] == "/accounts/login/"
    assert answer.cookies["sessionid"]["max-age"] == 0
    assert Session.objects.get().end_reason == "signed_out"
    settings.LOGOUT_REDIRECT_URL = "/who"
    assert browser.post(f"{DEVICES}sign-out/")["Location"] == "/who"


def test_who_is_signed_out_already_is_not_sent_to_sign_in_first(client, settings):
    settings.MIDDLEWARE = [
        *settings.MIDDLEWARE,
        "django.contrib.auth.middleware.LoginRequiredMiddleware",
    ]
    assert client.post(f"{DEVICES}sign-out/")["Location"] == "/accounts/login/"


@pytest.mark.parametrize("path", [f"{DEVICES}sign-out/", OTHERS, CONFIRM, "end"])
@pytest.mark.parametrize("has_middleware", [True, False])
def test_what_acts_is_protected_against_csrf(ada, settings, path, has_middleware):
    if not has_middleware:
        settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if "Csrf" not in name]
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(ada)
    other = add(ada)
    answer = browser.post(end(other) if path == "end" else path, {"password": PASSWORD})
    assert answer.status_code == 403
    assert Session.objects.active().count() == 2


# The password again


@pytest.mark.parametrize("what", ["one", "others"])
@pytest.mark.parametrize("method", ["get", "post"])
def test_a_session_that_is_not_fresh_is_asked_for_the_password_and_goes_on(
    browser, ada, what, method
):
    other = add(ada)
    grow_stale()
    path = end(other) + "?cursor=" if what == "one" else OTHERS
    old = browser.cookies["sessionid"].value

    answer = getattr(browser, method)(path)
    assert answer["Location"].startswith(f"{CONFIRM}?next=")
    assert Session.objects.active().count() == 2
    form = browser.get(answer["Location"])
    assert f'name="next" value="{path}"' in form.content.decode()
    answer = browser.post(CONFIRM, {"password": PASSWORD, "next": path})

    assert answer["Location"] == path
    assert browser.cookies["sessionid"].value != old
    assert browser.get(path).status_code == 200
    browser.post(path)
    assert Session.objects.active().count() == 1
    stolen = Client()
    stolen.cookies["sessionid"] = old
    assert stolen.get(DEVICES).status_code == 302


def test_the_setting_decides_whether_it_is_asked(browser, ada, settings):
    settings.SESSIONS_PLUS_FRESH_FOR_ENDING_OTHERS = False
    add(ada)
    add(ada)
    grow_stale()
    assert browser.post(end(Session.objects.order_by("pk").last()))["Location"] == DEVICES
    assert says(browser.post(OTHERS, follow=True))[-1] == "1 other session is ended."


def test_to_look_and_to_sign_out_need_no_password(browser):
    grow_stale()
    assert browser.get(DEVICES).status_code == 200
    assert browser.post(f"{DEVICES}sign-out/")["Location"] == "/accounts/login/"


@pytest.mark.parametrize("wrong", ["wrong", "x" * 5000, ""])
def test_a_wrong_password_changes_nothing_and_says_so_at_the_field(browser, wrong):
    grow_stale()
    before = Session.objects.get()
    answer = browser.post(CONFIRM, {"password": wrong})
    assert answer.status_code == 200
    assert 'aria-invalid="true"' in answer.content.decode()
    if wrong == "wrong":
        assert "That is not your password." in text_of(answer)
    assert wrong == "" or wrong not in answer.content.decode()
    assert Session.objects.get().authenticated_at == before.authenticated_at


@pytest.mark.parametrize(
    "unsafe",
    [
        EVIL,
        "//evil.example",
        "///evil.example",
        "\\\\evil.example",
        "https:evil.example",
        "javascript:alert(1)",
        "/\t/evil.example",
        "http://testserver@evil.example",
        "https://testserver.evil.example",
    ],
)
def test_next_leads_to_this_site_alone(browser, unsafe):
    form = browser.get(CONFIRM, {"next": unsafe})
    assert 'name="next"' not in form.content.decode()
    assert browser.post(CONFIRM, {"password": PASSWORD, "next": unsafe})["Location"] == DEVICES
    answer = browser.post(f"{DEVICES}sign-out/", {"next": unsafe})
    assert answer["Location"] == "/accounts/login/"


def test_attempts_are_limited_together_with_those_by_the_api(browser, settings):
    settings.SESSIONS_PLUS_RATES = {"reauthenticate": "3/h"}
    row = Session.objects.get()
    # As the API's throttle does.
    attempts.wait_after("reauthenticate", str(row), "3/h")
    for _ in range(2):
        assert browser.post(CONFIRM, {"password": "wrong"}).status_code == 200
    answer = browser.post(CONFIRM, {"password": PASSWORD})
    assert answer.status_code == 429
    assert 0 < int(answer["Retry-After"]) <= 3600
    assert re.search(r"Too many attempts. Try again in \d+ minutes?.", text_of(answer))
    assert browser.get(DEVICES).status_code == 200


def test_a_session_that_ends_while_the_password_is_checked_leads_to_sign_in(browser, monkeypatch):
    def end_meanwhile(*args: Any, **kwargs: Any) -> Any:
        Session.objects.all().end(reason="revoked")
        return real(*args, **kwargs)

    real = reauthentication.authenticate
    monkeypatch.setattr(reauthentication, "authenticate", end_meanwhile)
    answer = browser.post(CONFIRM, {"password": PASSWORD}, follow=True)
    assert answer.redirect_chain[-1][0] == f"/accounts/login/?next={CONFIRM}"
    assert not Session.objects.active().exists()


def test_people_without_a_password_sign_out_and_in_again(browser, ada):
    other = add(ada)
    ada.set_unusable_password()
    # As single sign-on does; a changed password would end the session.
    User.objects.filter(pk=ada.pk).update(password=ada.password)
    browser.force_login(User.objects.get())
    grow_stale()
    answer = browser.get(browser.post(end(other))["Location"])
    page = answer.content.decode()
    assert "you have no password here" in page
    assert 'type="password"' not in page
    assert f'action="{DEVICES}sign-out/"' in page
    assert f'name="next" value="{end(other)}"' in page
    answer = browser.post(f"{DEVICES}sign-out/", {"next": end(other)})
    assert answer["Location"] == f"/accounts/login/?next={end(other)}"


def test_another_place_to_authenticate_again_is_a_setting(browser, ada, settings):
    settings.SESSIONS_PLUS_REAUTHENTICATE_URL = "/sso/again"
    other = add(ada)
    grow_stale()
    assert browser.post(end(other))["Location"] == f"/sso/again?next={end(other)}"


def test_the_decorator_can_send_people_to_the_page(browser, settings):
    settings.SESSIONS_PLUS_REAUTHENTICATE_URL = "django_sessions_plus:confirm-password"
    grow_stale()
    assert browser.get("/sensitive")["Location"] == f"{CONFIRM}?next=/sensitive"
    answer = browser.post(CONFIRM, {"password": PASSWORD, "next": "/sensitive"}, follow=True)
    assert answer.content == b"ada"


# Hostile and odd


@pytest.mark.parametrize(
    "agent",
    [
        "<script>alert(1)</script>",
        '"><img src=x onerror=alert(1)>',
        "{{ settings.SECRET_KEY }}{% debug %}",
        "</bdi></li>",
        "%(device)s %s %d",
        "\u202egnp.exe",
    ],
)
def test_what_a_device_says_of_itself_is_text_and_nothing_else(browser, ada, agent):
    other = add(ada, user_agent=agent)
    add_ended(ada, user_agent=agent)
    for answer in (browser.get(DEVICES), browser.get(end(other))):
        page = answer.content.decode()
        assert answer.status_code == 200
        assert "<script" not in page
        assert "<img" not in page
        assert "</bdi></li>”" not in page
    assert browser.post(end(other), follow=True).status_code == 200


def test_a_huge_user_agent_is_cut_and_shown(ada):
    client = Client(headers={"user-agent": "A" * 100_000})
    client.post("/sign-in", {"user": "ada"})
    assert client.get(DEVICES).content.decode().count("A" * 512) == 1


def test_it_works_without_the_messages_app(ada, settings):
    other = add(ada)
    settings.INSTALLED_APPS = [name for name in settings.INSTALLED_APPS if "messages" not in name]
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if "messages" not in name]
    browser = Client()
    browser.post("/sign-in", {"user": "ada"})
    answer = browser.post(end(other), follow=True)
    assert answer.status_code == 200
    assert says(answer) == []
    assert 'role="status"' not in answer.content.decode()


def test_it_works_without_context_processors(browser, ada, settings):
    settings.TEMPLATES = [
        {"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}
    ]
    other = add(ada)
    answer = browser.post(end(other), follow=True)
    assert says(answer) == ["Firefox on Linux is signed out."]
    assert "csrfmiddlewaretoken" in answer.content.decode()


def test_it_tells_no_token_and_no_digest(browser, ada):
    add(ada, refresh_digest="1" * 64, refresh_started_at=timezone.now())
    page = browser.get(DEVICES).content.decode()
    assert browser.cookies["sessionid"].value not in page
    for row in Session.objects.all():
        assert row.token_digest not in page
        assert (row.refresh_digest or "-" * 64) not in page


def test_without_addresses_there_is_no_empty_place_for_them(browser, ada):
    Session.objects.update(ip_address=None)
    add(ada, ip_address=None)
    page = browser.get(DEVICES).content.decode()
    assert 'dir="ltr"></bdi>' not in page
    assert "None" not in text_of(browser.get(DEVICES))


def test_languages_read_from_right_to_left_turn_the_page_around(browser):
    with translation.override("ar"), override_settings(LANGUAGE_CODE="ar"):
        page = browser.get(DEVICES).content.decode()
    assert '<html lang="ar" dir="rtl">' in page


def test_it_works_without_time_zones(browser, ada, settings):
    settings.USE_TZ = False
    assert browser.get(DEVICES).status_code == 200


def test_the_pages_of_the_example_site_are_in_its_frame(ada):
    with override_settings(**example_site.SETTINGS):
        client = Client()
        client.force_login(ada)
        page = client.get(reverse("django_sessions_plus:devices")).content.decode()
    assert "Sessions Plus" in page
    assert "example_project/devices.css" in page

"""The template tags, as a project's own page uses them."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.template import Context, RequestContext, Template
from django.utils import timezone

from django_sessions_plus import tokens
from django_sessions_plus.devices import parse
from django_sessions_plus.models import Session
from django_sessions_plus.presentation.entries import Entry
from tests.pages.test_pages import FIREFOX, add

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.pages_urls")]


@pytest.fixture
def ada():
    return User.objects.create_user("ada")


def render(text, context):
    return Template("{% load sessions_plus_devices %}" + text).render(context)


LIST = "{% sessions_for user as entries %}{% for entry in entries %}{{ entry.name }};{% endfor %}"


def test_sessions_for_lists_the_active_sessions_the_last_active_first(ada):
    add(ada, user_agent="curl/8.14.1", last_seen_at=timezone.now())
    add(ada)
    add(ada, expires_at=timezone.now() - timedelta(days=1))
    assert render(LIST, Context({"user": ada})) == "curl;Firefox on Linux;"


def test_the_one_of_the_request_comes_first_and_is_marked(ada, client, rf):
    client.force_login(ada)
    add(ada, last_seen_at=timezone.now() + timedelta(hours=1))
    request = rf.get("/")
    request.user, request.session = ada, client.session
    text = (
        "{% sessions_for user as found %}{% for e in found %}{{ e.is_current|yesno }} {% endfor %}"
    )
    assert render(text, RequestContext(request, {"user": ada})) == "yes no "


def test_sessions_for_is_one_query_and_bounded(ada, settings, django_assert_num_queries):
    for _ in range(5):
        add(ada)
    with django_assert_num_queries(1):
        assert render(LIST, Context({"user": ada})).count(";") == 5
    settings.SESSIONS_PLUS_PAGE_SIZE = 2
    assert render(LIST, Context({"user": ada})).count(";") == 2
    more = LIST.replace("user as", "user limit=3 as")
    assert render(more, Context({"user": ada})).count(";") == 3


def test_nobody_has_no_sessions():
    assert render(LIST, Context({"user": AnonymousUser()})) == ""


@pytest.mark.parametrize("kind", ["desktop", "phone", "tablet", "bot", "other"])
def test_every_kind_of_device_has_an_icon_that_is_silent(kind):
    device = parse(f"Something on Somewhere ({kind})")
    icon = render("{% device_icon shown %}", Context({"shown": device}))
    assert device.kind == kind
    assert icon.startswith("<svg")
    assert 'aria-hidden="true"' in icon
    assert "style=" not in icon


def test_an_icon_is_had_for_a_session_and_for_an_entry_and_tokens_have_their_own(ada):
    row = add(ada)
    by_row = render("{% device_icon shown %}", Context({"shown": row}))
    assert by_row == render("{% device_icon shown %}", Context({"shown": Entry(row)}))
    issued = Entry(add(ada, authenticated_at=None))
    assert render("{% device_icon shown %}", Context({"shown": issued})) != by_row


def test_the_buttons_are_forms_with_the_token_against_csrf(ada, rf):
    entry = Entry(add(ada))
    context = RequestContext(rf.get("/"), {"entry": entry})
    for button, path in (
        ("{% sign_out_button %}", "/account/devices/sign-out/"),
        ("{% end_button entry %}", f"/account/devices/{entry.session.pk}/end/"),
    ):
        html = render(button, context)
        assert f'action="{path}"' in html
        assert "csrfmiddlewaretoken" in html
        assert 'method="post"' in html
    assert 'aria-label="End session Firefox on Linux"' in html


def test_a_time_is_shown_in_words():
    moment = timezone.now() - timedelta(hours=3)
    html = render("{{ when|in_time }}", Context({"when": moment}))
    assert "3\xa0hours\xa0ago" in html
    assert timezone.localtime(moment).isoformat(timespec="seconds") in html


def test_an_entry_costs_no_query(ada, django_assert_num_queries):
    row = Session(
        user=ada, token_digest=tokens.digest(tokens.make_token()), user_agent=FIREFOX, ended_by=ada
    )
    row.expires_at = row.ended_at = row.authenticated_at = timezone.now()
    row.end_reason = "revoked"
    with django_assert_num_queries(0):
        entry = Entry(row)
        shown = [entry.name, entry.calls_itself, entry.place, entry.access_in_words]
        assert [*shown, entry.why_ended] == ["Firefox on Linux", "", "", "Browser", "Ended by you."]
        assert entry.ended_since == row.ended_at

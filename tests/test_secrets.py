"""A token goes through everything that happens to a session, and turns up nowhere but in its cookie."""

import json
import logging
import pickle
import re
import traceback
from contextlib import suppress
from pathlib import Path

import pytest
from asgiref.sync import async_to_sync
from django.conf import settings as django_settings
from django.contrib.auth import get_user_model
from django.contrib.sessions.backends.base import CreateError, UpdateError
from django.core.cache import cache
from django.db import DatabaseError, connection
from django.dispatch import Signal
from django.test import AsyncClient, Client
from django.test.utils import CaptureQueriesContext, override_settings
from django.urls import reverse
from django.utils import timezone

import django_sessions_plus
from django_sessions_plus import sessions, signals, tokens
from django_sessions_plus.backends.db import SessionStore
from django_sessions_plus.exceptions import InactiveSessionError, StaleSessionError, TokenError
from django_sessions_plus.jwt import access
from django_sessions_plus.jwt.refresh import arefresh, refresh
from django_sessions_plus.jwt.refresh_token import RefreshToken, microseconds
from django_sessions_plus.models import Session

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.custom.urls")]

User = get_user_model()
OURS = Path(django_sessions_plus.__file__).parent


class Secrets:
    """The tokens that were made, and where they must not be."""

    def __init__(self) -> None:
        self.tokens: list[str] = []
        self.digests: list[str] = []
        self.searched = 0

    def absent_from(self, *texts: object, digests: bool = False) -> None:
        """Fail when a token (with ``digests``: or a digest) stands in one of the texts."""
        assert self.tokens, "there is nothing to look for"
        for text in map(str, texts):
            self.searched += len(text)
            for secret in (*self.tokens, *(self.digests if digests else ())):
                assert secret not in text, text[: text.index(secret) + 70][-200:]


@pytest.fixture
def secrets(monkeypatch):
    """Every token that is made from here on."""
    secrets = Secrets()
    make_token = tokens.make_token

    def make():
        token = make_token()
        secrets.tokens.append(token)
        secrets.digests.append(tokens.digest(token))
        return token

    monkeypatch.setattr(tokens, "make_token", make)
    spell, digest = RefreshToken.text, RefreshToken.digest

    def spell_and_note(token):
        secrets.tokens += [spell(token), token.secret.hex(), repr(token.secret)]
        secrets.digests.append(digest(token))
        return spell(token)

    monkeypatch.setattr(RefreshToken, "text", spell_and_note)
    return secrets


@pytest.fixture
def told():
    """The arguments of every signal of the package, as text."""
    payloads = []

    def receive(**arguments):
        payloads.extend(f"{name}={value!r} {value!s}" for name, value in arguments.items())
        payloads.append(repr(arguments))

    every = [value for value in vars(signals).values() if isinstance(value, Signal)]
    assert len(every) >= 3
    for signal in every:
        signal.connect(receive)
    yield payloads
    for signal in every:
        signal.disconnect(receive)


@pytest.fixture
def ada():
    return User.objects.create_superuser("ada", "ada@example.com", "lovelace")


def dump():
    """Return every row of every table as text."""
    found = []
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
            found += [f"{table}: {row!r}" for row in cursor.fetchall()]
    return found


def log_everything(caplog):
    for name in (None, "django", "django_sessions_plus"):
        caplog.set_level(logging.DEBUG, logger=name)


def logged(caplog):
    formatter = logging.Formatter()
    for record in caplog.records:
        yield formatter.format(record)
        yield repr({name: value for name, value in vars(record).items() if name != "request"})


def outside_of_the_cookie(response):
    """Return all of a response but its cookies."""
    headers = [f"{name}: {value}" for name, value in response.items()]
    return [*headers, response.content.decode()]


STORY = [
    "who",
    "put?cart=1",
    "sign_in?email=ada@example.com",
    "who",
    "put?cart=2",
    "rotate",
    "sign_in?email=ada@example.com",
    "untouched",
    "fail",
    "sign_out",
    "who",
    "sign_in?email=ada@example.com",
]


def live_through(client, ada):
    """Do to a session by cookie whatever can be done to it, and return the responses."""
    responses = [client.get(f"/{path}") for path in STORY]
    responses.append(client.get("/who", headers={"cookie": f"sessionid={'a' * 32}"}))
    ada.set_password("byron")
    ada.save()
    responses += [client.get("/who"), client.get("/sign_in?email=ada@example.com")]
    sessions.revoke_all(ada, actor=ada)
    responses += [client.get("/put?cart=3"), client.get("/sign_in?email=ada@example.com")]
    return responses


def test_no_token_stands_in_a_table_a_log_a_signal_or_an_answer(secrets, told, caplog, ada):
    log_everything(caplog)
    client = Client(raise_request_exception=False)
    with CaptureQueriesContext(connection) as queries:
        responses = live_through(client, ada)
    assert len(secrets.tokens) >= 6
    assert [response.status_code for response in responses].count(500) == 1
    assert "200" in str({response.status_code for response in responses})
    cookies = [r.cookies["sessionid"].value for r in responses if "sessionid" in r.cookies]
    assert set(secrets.tokens) >= {value for value in cookies if value}
    assert any("session_data" in query["sql"] for query in queries)
    secrets.absent_from(*dump())
    secrets.absent_from(*(query["sql"] for query in queries))
    assert {record.name for record in caplog.records} >= {"django.db.backends", "django.request"}
    secrets.absent_from(*logged(caplog))
    assert told
    secrets.absent_from(*told, digests=True)
    for response in responses:
        secrets.absent_from(*outside_of_the_cookie(response), digests=True)
    # And what is in the cookie is the token alone.
    assert not any(digest in str(r.cookies) for digest in secrets.digests for r in responses)


def test_the_table_holds_the_digest_and_so_the_search_would_find_a_secret(secrets, ada):
    Client().get("/sign_in?email=ada@example.com")
    (digest,) = set(Session.objects.values_list("token_digest", flat=True))
    assert digest in secrets.digests
    with pytest.raises(AssertionError):
        secrets.absent_from(*dump(), digests=True)


def test_no_token_stands_in_the_tables_or_logs_of_coroutines(secrets, told, caplog, ada):
    log_everything(caplog)

    @async_to_sync
    async def story():
        client = AsyncClient(raise_request_exception=False)
        paths = ("aput?cart=1", "asign_in?email=ada@example.com", "awho", "afail", "aput?cart=2")
        responses = [await client.get(f"/{path}") for path in paths]
        await sessions.arevoke_all(ada)
        return [*responses, await client.get("/awho"), await client.get("/asign_out")]

    responses = story()
    assert len(secrets.tokens) >= 2
    assert [response.status_code for response in responses].count(500) == 1
    secrets.absent_from(*dump(), *logged(caplog))
    secrets.absent_from(*told, digests=True)
    for response in responses:
        secrets.absent_from(*outside_of_the_cookie(response), digests=True)


def test_no_token_stands_in_the_cache(secrets, ada):
    cache.clear()
    live_through(Client(raise_request_exception=False), ada)
    held = getattr(cache, "_cache", {})
    if not isinstance(held, dict):
        pytest.skip("the cache of this run cannot be listed")
    # Copies of rows are found by their digests, which open nothing.
    is_copying = django_settings.SESSION_ENGINE.endswith(".cached_db")
    texts = (f"{key} {value!r}" for key, value in held.items())
    secrets.absent_from(*texts, digests=not is_copying)


def signed_in_store(ada):
    client = Client()
    client.force_login(ada)
    store = SessionStore(client.cookies["sessionid"].value)
    store.load_if_needed()
    return store


def test_no_token_stands_in_what_store_and_row_say_of_themselves(secrets, ada):
    store = signed_in_store(ada)
    row = store.row
    for shown in (store, row, type(row), [store], {"session": store, "row": row}):
        secrets.absent_from(repr(shown), str(shown), f"{shown}", digests=True)
    secrets.absent_from(repr(vars(row)), pickle.dumps(row), row.get_decoded(), list(store.items()))
    secrets.absent_from(row.device, row.status(), row.end_reason_label, row._meta, digests=True)


def test_neither_token_nor_digest_can_be_loaded_through_the_public_id(secrets, ada):
    store = signed_in_store(ada)
    for name in (
        str(store.row.pk),
        store.row.pk.hex,
        store.row.token_digest,
        store.row.pk.hex.upper(),
    ):
        opened = SessionStore(name)
        assert opened.load_if_needed() == {}
        assert opened.row is None
        assert not SessionStore().exists(name)
    secrets.absent_from(store.row.pk)


def errors_of(ada):
    """Cause every error the engine raises on purpose, and give them."""
    first = signed_in_store(ada)
    second = SessionStore(first.session_key)
    second.load_if_needed()
    sessions.revoke(first.row)
    second["cart"] = 1
    with pytest.raises(UpdateError) as caught:
        second.save()
    yield caught.value
    with pytest.raises(StaleSessionError) as caught:
        second.cycle_key()
    yield caught.value
    third = SessionStore()
    third._session_key = first.session_key
    with pytest.raises(CreateError) as caught:
        third.save(must_create=True)
    yield caught.value


def test_no_token_stands_in_an_error_or_its_traceback(secrets, ada):
    for error in errors_of(ada):
        secrets.absent_from(repr(error), str(error), error.args)
        secrets.absent_from(*with_locals(error))


def with_locals(error):
    """Format an error with the variables of every frame, as error trackers collect them."""
    return traceback.TracebackException.from_exception(error, capture_locals=True).format()


class Unplugged:
    """Fail every statement that contains a word."""

    def __init__(self, word):
        self.word = word

    def __call__(self, execute, sql, params, many, context):
        if sql.startswith(self.word):
            raise DatabaseError(f"unplugged: {sql} {params!r}")
        return execute(sql, params, many, context)


def acts(token, ada):
    """Give everything that reads or writes, each to be called without an argument."""

    def save(store):
        store["cart"] = 1
        store.save()

    yield lambda: SessionStore(token).load_if_needed()
    yield lambda: save(SessionStore(token))
    yield lambda: save(SessionStore())
    yield lambda: SessionStore(token).cycle_key()
    yield lambda: sessions.revoke_all(ada)
    yield lambda: SessionStore(token).flush()


def acts_of_services(token, ada):
    """Give what is done with refresh tokens."""
    row = signed_in_store(ada).row
    pair = sessions.issue_tokens(row)
    yield lambda: sessions.issue_tokens(row)
    yield lambda: refresh(pair.refresh)
    yield lambda: async_to_sync(arefresh)(pair.refresh)
    # The end of a session whose token comes back.
    Session.objects.filter(pk=row.pk).update(refresh_digest="0" * 64)
    yield lambda: refresh(pair.refresh)


def frames_of_ours(error):
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    return [f for f in frames if Path(f.f_code.co_filename).is_relative_to(OURS)]


@pytest.mark.parametrize(
    ("deeds", "word", "failures"),
    [
        *((acts, "SELECT", 5), (acts, "UPDATE", 4), (acts, "INSERT", 1)),
        *((acts_of_services, "SELECT", 3), (acts_of_services, "UPDATE", 4)),
    ],
)
def test_no_token_stands_in_the_frames_of_a_database_that_fails(
    secrets, ada, deeds, word, failures
):
    """The variables of every frame end up on debug pages and with error trackers."""
    token = signed_in_store(ada).session_key
    failed = 0
    for act in deeds(token, ada):
        try:
            with connection.execute_wrapper(Unplugged(word)):
                act()
        except DatabaseError as error:
            failed += 1
            secrets.absent_from(error)
            for frame in frames_of_ours(error):
                secrets.absent_from(*(repr(value) for value in frame.f_locals.values()))
    assert failed == failures


@override_settings(DEBUG=True)
@pytest.mark.parametrize("path", ["fail", "afail"])
def test_the_debug_page_of_a_view_that_fails_shows_no_token(secrets, ada, path):
    client = Client(raise_request_exception=False)
    client.force_login(ada)
    client.get("/put?cart=of-mine")
    response = client.get(f"/{path}", headers={"authorization": "Bearer of-somebody"})
    page = response.content.decode()
    assert response.status_code == 500
    # The page with everything on it: frames, cookies and headers.
    assert "RuntimeError" in page
    assert "sessionid" in page
    assert "the view failed" in page
    assert "= request.session" in page
    assert len(page) > 20_000
    secrets.absent_from(page)


@override_settings(DEBUG=True)
@pytest.mark.parametrize("path", ["who", "awho"])
def test_the_debug_page_of_a_database_that_fails_shows_no_token(secrets, ada, path):
    client = Client(raise_request_exception=False)
    client.force_login(ada)
    with connection.execute_wrapper(Unplugged("SELECT")):
        response = client.get(f"/{path}")
    assert response.status_code == 500
    page = response.content.decode()
    assert "unplugged" in page
    secrets.absent_from(page)


def test_a_failing_save_shows_no_token_either(secrets, ada, caplog):
    log_everything(caplog)
    client = Client(raise_request_exception=False)
    client.force_login(ada)
    with override_settings(DEBUG=True), connection.execute_wrapper(Unplugged("UPDATE")):
        response = client.get("/put?cart=1")
    assert response.status_code == 500
    secrets.absent_from(response.content.decode(), *logged(caplog))


@pytest.mark.urls("tests.urls")
def test_the_admin_shows_neither_token_nor_digest(secrets, ada):
    browser = Client()
    browser.force_login(ada)
    other = signed_in_store(ada)
    ended = signed_in_store(ada)
    sessions.issue_tokens(other.row)
    sessions.revoke(ended.row.pk)
    ended.row.refresh_from_db()
    pages = [
        reverse("admin:django_sessions_plus_session_changelist"),
        reverse("admin:django_sessions_plus_session_changelist") + "?q=ada",
        reverse("admin:django_sessions_plus_session_change", args=[other.row.pk]),
        reverse("admin:django_sessions_plus_session_change", args=[ended.row.pk]),
        reverse("admin:auth_user_changelist"),
        reverse("admin:auth_user_change", args=[ada.pk]),
    ]
    for page in pages:
        response = browser.get(page)
        assert response.status_code == 200, page
        secrets.absent_from(*outside_of_the_cookie(response), digests=True)
    # Nor does it find a session by them, which would tell whether a guess is right.
    for digest in (other.row.token_digest, other.row.refresh_digest):
        found = browser.get(pages[0], {"q": digest})
        assert str(other.row.pk) not in found.content.decode()


def test_the_json_of_the_cookie_transport_shows_neither_token_nor_digest(secrets, ada):
    client = Client()
    body = {"username": "ada", "password": "lovelace"}
    signed_in = client.post("/auth/sign-in", json.dumps(body), content_type="application/json")
    assert signed_in.status_code == 200
    assert signed_in.cookies["sessionid"].value in secrets.tokens
    sessions.issue_tokens(Session.objects.get())
    answers = [
        signed_in,
        client.get("/auth/session"),
        client.get("/auth/sessions"),
        client.post("/auth/sessions/revoke", json.dumps({"scope": "others"}), "application/json"),
        client.post("/auth/reauthenticate", json.dumps(body), "application/json"),
        client.post("/auth/sign-out"),
    ]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 200, 200, 204]
    for answer in answers:
        secrets.absent_from(*outside_of_the_cookie(answer), digests=True)
        assert answer.cookies.keys() <= {"sessionid", "csrftoken"}


def test_the_session_cookie_is_out_of_the_reach_of_scripts(secrets, ada):
    response = Client().get("/sign_in?email=ada@example.com")
    cookie = response.cookies[django_settings.SESSION_COOKIE_NAME]
    assert cookie["httponly"] is True
    assert cookie["samesite"] == "Lax"


def test_a_dump_of_the_table_opens_nothing(secrets, ada):
    store = signed_in_store(ada)
    row = Session.objects.filter(pk=store.row.pk).values().get()
    for value in row.values():
        for client in (Client(), Client(headers={"authorization": f"Bearer {value}"})):
            if isinstance(value, str) and value:
                client.cookies["sessionid"] = value
            answer = client.get("/auth/session")
            assert answer.status_code == 401 or answer.json()["user"] is None
    assert store.row.is_active(timezone.now())


def use_as_a_service(ada):
    """Do with refresh tokens whatever can be done with them, and return the row."""
    row = signed_in_store(ada).row
    first = sessions.issue_tokens(row)
    second = refresh(first.refresh)
    assert refresh(first.refresh).refresh == second.refresh
    sessions.issue_tokens(row)
    with pytest.raises(TokenError):
        refresh(second.refresh)
    other = signed_in_store(ada).row
    reused = sessions.issue_tokens(other)
    refresh(refresh(reused.refresh).refresh)
    with pytest.raises(InactiveSessionError):
        refresh(reused.refresh)
    return row


def test_no_refresh_token_stands_in_a_table_a_log_or_a_signal(secrets, told, caplog, ada):
    log_everything(caplog)
    with CaptureQueriesContext(connection) as queries:
        use_as_a_service(ada)
    assert len(secrets.tokens) > 20
    assert any("refresh_digest" in query["sql"] for query in queries)
    secrets.absent_from(*dump(), *logged(caplog), *(query["sql"] for query in queries))
    assert "django_sessions_plus" in {record.name for record in caplog.records}
    assert any("since_rotation" in text for text in told)
    secrets.absent_from(*told, digests=True)


def test_no_refresh_token_stands_in_the_cache(secrets, ada):
    cache.clear()
    use_as_a_service(ada)
    secrets.absent_from("nothing", *held_by_the_cache())


def test_no_refresh_token_stands_in_what_a_refusal_says_of_itself(secrets, ada):
    pair = sessions.issue_tokens(signed_in_store(ada).row)
    text = pair.refresh[:-1] + ("A" if pair.refresh[-1] != "A" else "B")
    sessions.revoke_all(ada)
    for token in (pair.refresh, text):
        with pytest.raises((InactiveSessionError, TokenError)) as caught:
            refresh(token)
        assert caught.value.__context__ is None
        secrets.absent_from(repr(caught.value), caught.value.args)
        for frame in frames_of_ours(caught.value):
            shown = [repr(value) for value in frame.f_locals.values()]
            assert not any(token in text for text in shown)
            secrets.absent_from(*shown)


def held_by_the_cache():
    held = getattr(cache, "_cache", {})
    return [f"{key} {value!r}" for key, value in held.items()] if isinstance(held, dict) else []


def values_of_a_dump():
    """Return every value of every row of every table, and what is inside the data of sessions."""
    found = set()
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
            for row in cursor.fetchall():
                found.update(str(value) for value in row if value is not None)
    for text in [text for text in found if text.startswith("{")]:
        found.update(str(value) for value in json.loads(text).values())
    return found


def opens_as(value):
    """Give the ways in which a value opens something."""
    if SessionStore(value).load_if_needed():
        yield "session token"
    with suppress(TokenError):
        refresh(value)
        yield "refresh token"
    with suppress(TokenError):
        access.verify(value)
        yield "access token"


def test_a_dump_of_every_table_and_of_the_cache_opens_nothing(secrets, ada):
    store = signed_in_store(ada)
    token, row = store.session_key, store.row
    pair = sessions.issue_tokens(row)
    pair = refresh(pair.refresh)
    values = values_of_a_dump()
    row.refresh_from_db()
    assert {str(row.pk), row.pk.hex} & values
    assert {row.token_digest, row.refresh_digest} < values
    for text in held_by_the_cache():
        values.update(re.findall(r"[\w.-]{8,}", text))
    variants = {variant for value in values for variant in (value, value[:32], value.upper())}
    # What an attacker would make of it without SECRET_KEY: the right names and a digest for a secret.
    secret, family = bytes.fromhex(row.refresh_digest), row.refresh_started_at
    with override_settings(SECRET_KEY="a guess"):
        made = RefreshToken(row.pk, microseconds(family), microseconds(family), secret)
        variants.add(made.text())
    assert not [(value, way) for value in variants for way in opens_as(value)]
    assert list(opens_as(token)) == ["session token"]
    assert list(opens_as(pair.refresh)) == ["refresh token"]
    assert list(opens_as(pair.access)) == ["access token"]

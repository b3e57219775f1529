"""What strangers send, through the real handlers: no error, no row, no echo."""

import io
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth import get_user_model
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import request_finished, request_started
from django.db import close_old_connections
from django.http import HttpRequest, HttpResponse
from django.test import Client

from django_sessions_plus import tokens
from django_sessions_plus.backends.db import SessionStore
from django_sessions_plus.middleware import AuthenticationMiddleware, SessionMiddleware
from django_sessions_plus.models import Session

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.custom.urls")]

User = get_user_model()
TOKEN = "abcdefghijklmnopqrstuvwxyz012345"

COOKIES = {
    "empty": b"",
    "one": b"a",
    "seven": b"a" * 7,
    "eight": b"a" * 8,
    "one short": TOKEN[:-1].encode(),
    "unknown": TOKEN.encode(),
    "one long": TOKEN.encode() + b"a",
    "forty": b"a" * 40,
    "four thousand": b"a" * 4096,
    "a hundred thousand": b"a" * 100_000,
    "upper case": TOKEN.upper().encode(),
    "digest": tokens.digest(TOKEN).encode(),
    "uuid": b"01890a5d-ac96-774b-bcce-b302099a8057",
    "jwt": b"eyJhbGciOiJub25lIn0.eyJzaWQiOiIxIn0.",
    "spaces": b" " * 32,
    "NUL": b"\0" * 32,
    "control": b"\x01\x1b[31m\x7f\x08" * 8,
    "line end": TOKEN[:-1].encode() + b"\n",
    "header": b"x\r\nSet-Cookie: evil=1\r\n\r\nbody-of-mine",
    "octal line end": b'"x\\012\\015Set-Cookie: evil=1"',
    "latin-1": "äöüÿ".encode("latin-1") * 8,
    "utf-8": "äöü".encode() * 8,
    "emoji": "\N{GRINNING FACE}".encode() * 8,
    "not utf-8": b"\xff\xfe\x80\xc0" * 8,
    "half a surrogate": b"\xed\xa0\x80" * 8,
    "script": b"<script>alert(1)</script>--------",
    "sql": b"' OR 1=1; DROP TABLE session; --",
    "path": b"../../../../../../etc/passwd\0----",
    "separators": b"a=b, c=d & e=f == ,,,, -------",
    "quotes": b'"""""""""""""""""""""""""""""""""',
    "percent": b"%00%0a%0d%u0000%ff%ff%ff%ff%ff%ff",
    "None": b"NoneNone",
    "format": b"{0.__class__} %s %(x)s ${x} -----",
}


FORWARDED = {
    b"198.51.100.4": "198.51.100.4",
    b"1.1.1.1, 198.51.100.4": "198.51.100.4",
    b"1.1.1.1, 198.51.100.4:99": "198.51.100.4",
    b"": "203.0.113.7",
    b"garbage": None,
    b"198.51.100.4, garbage": None,
    b"\xff\xfe\0": None,
    b"," * 50_000: None,
    b"9" * 100_000: None,
}


def through_wsgi(path, headers=(), **environ):
    """Serve one request by WSGI; return its status, headers and body."""
    started = []
    environ = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": path.partition("?")[0],
        "QUERY_STRING": path.partition("?")[2],
        "SERVER_NAME": "testserver",
        "SERVER_PORT": "80",
        "wsgi.input": io.BytesIO(),
        "wsgi.url_scheme": "http",
        "wsgi.errors": io.StringIO(),
        "REMOTE_ADDR": "203.0.113.7",
        **{f"HTTP_{name.upper().replace('-', '_')}": v.decode("latin-1") for name, v in headers},
        **environ,
    }
    environ = {name: value for name, value in environ.items() if value is not None}
    response = WSGIHandler()(environ, lambda status, fields: started.append((status, fields)))
    body = b"".join(response)
    response.close()
    ((status, fields),) = started
    sent = [f"{name}: {value.strip()}".encode("latin-1") for name, value in fields]
    return int(status.split()[0]), sent, body


@async_to_sync
async def through_asgi(path, headers=(), client=("203.0.113.7", 1234)):
    """Serve one request by ASGI; return its status, headers and body."""
    sent = []

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "path": path.partition("?")[0],
        "raw_path": path.partition("?")[0].encode(),
        "query_string": path.partition("?")[2].encode(),
        "root_path": "",
        "scheme": "http",
        "server": ("testserver", 80),
        "headers": [(name.lower().encode(), value) for name, value in headers],
    }
    if client is not None:
        scope["client"] = client
    # handle() and not the handler itself, which would move to a thread of its own and so
    # out of the test's transaction.
    handler = ASGIHandler()
    request, refusal = handler.create_request(scope, io.BytesIO())
    if refusal is None:
        response = await handler.get_response_async(request)
    else:
        response = refusal
    await handler.send_response(response, send)
    start, *rest = sent
    fields = [name + b": " + value for name, value in start["headers"]]
    return start["status"], fields, b"".join(part.get("body", b"") for part in rest)


HANDLERS: dict[str, tuple[Any, str]] = {
    "wsgi": (through_wsgi, "/who"),
    "asgi": (through_asgi, "/awho"),
}


@pytest.fixture(autouse=True)
def connection_that_outlives_requests():
    """Keep requests from closing the connection that holds the test's transaction."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@pytest.fixture(params=HANDLERS)
def serve(request):
    handler, path = HANDLERS[request.param]

    def serve(headers, view=path, **server):
        return handler(view, headers, **server)

    return serve


@pytest.fixture
def ada():
    return User.objects.create_user("ada", "ada@example.com", "lovelace")


@pytest.fixture
def signed_in(ada):
    client = Client()
    client.force_login(ada)
    return client.cookies["sessionid"].value


def test_a_bad_cookie_is_an_anonymous_visit_that_leaves_no_trace(serve):
    for name, value in COOKIES.items():
        status, headers, body = serve([("Cookie", b"sessionid=" + value)])
        assert (status, body) == (200, b"nobody"), name
        if len(value) >= 7:
            assert value not in b"\n".join(headers), name
        assert not any(b"evil" in header for header in headers), name
        # At most the order to forget it.
        cookies = [header for header in headers if header.lower().startswith(b"set-cookie")]
        assert all(b'sessionid=""' in cookie for cookie in cookies), name
    assert not Session.objects.exists()


@pytest.mark.parametrize("value", [TOKEN.encode(), b"a" * 100_000, b"", b"\xff\xfe\0" * 16])
def test_a_bad_cookie_is_not_taken_for_the_new_session(serve, value, ada):
    _, headers, _ = serve(
        [("Cookie", b"sessionid=" + value)], view="/sign_in?email=ada@example.com"
    )
    (cookie,) = (header for header in headers if b"Cookie: sessionid=" in header)
    token = cookie.partition(b"sessionid=")[2].partition(b";")[0].decode()
    assert tokens.is_well_formed(token)
    assert token.encode() != value
    assert Session.objects.get().token_digest == tokens.digest(token)


def test_bad_cookies_cost_no_query(django_assert_num_queries):
    for value in COOKIES.values():
        if not tokens.is_well_formed(value.decode("latin-1")):
            with django_assert_num_queries(0):
                through_wsgi("/who", [("Cookie", b"sessionid=" + value)])


@pytest.mark.parametrize("junk", [b"", b"junk-of-mine", TOKEN[::-1].encode(), b"\xff" * 32])
def test_of_several_cookies_of_one_name_the_last_counts(serve, signed_in, junk):
    good = b"sessionid=" + signed_in.encode()
    bad = b"sessionid=" + junk
    for cookies, expected in ((bad + b"; " + good, b"ada"), (good + b"; " + bad, b"nobody")):
        status, _, body = serve([("Cookie", cookies)])
        assert (status, body) == (200, expected)
    assert Session.objects.active().count() == 1


def test_a_thousand_cookies_of_one_name_are_one(serve, signed_in):
    many = b"; ".join([b"sessionid=" + TOKEN.encode()] * 1000)
    status, _, body = serve([("Cookie", many + b"; sessionid=" + signed_in.encode())])
    assert (status, body) == (200, b"ada")


@pytest.mark.parametrize(
    "variant",
    [
        str.upper,
        lambda token: token + " ",
        lambda token: token + "\u200b",
        lambda token: token[:-1],
        lambda token: token + "a",
        lambda token: token[::-1],
        lambda token: token + "\0",
        tokens.digest,
        lambda token: str(Session.objects.get().pk),
        lambda token: Session.objects.get().pk.hex,
    ],
)
def test_nothing_like_a_token_opens_its_session(serve, signed_in, variant):
    value = variant(signed_in).encode()
    # A client that trims is no attack, and Django trims too.
    expected = b"ada" if value.strip() == signed_in.encode() else b"nobody"
    assert serve([("Cookie", b"sessionid=" + value)])[::2] == (200, expected)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"x" * 1_000_000,
        b"\0" * 600,
        b"curl/8\0\x1b[31m\r\nSet-Cookie: evil=1",
        "\N{GRINNING FACE} äöü".encode(),
        b"\xff\xfe\xed\xa0\x80",
        b"<script>alert(1)</script>",
        b"Mozilla/5.0 (" * 80_000,
    ],
)
def test_any_user_agent_can_sign_in_and_is_shown(serve, ada, settings, value):
    for mode in ("full", "parsed", "off"):
        settings.SESSIONS_PLUS_RECORD_USER_AGENT = mode
        status, sent, _ = serve([("User-Agent", value)], view="/sign_in?email=ada@example.com")
        assert status == 200
        assert not any(b"evil" in header for header in sent)
        session = Session.objects.latest("created_at")
        text = session.user_agent
        assert text is None or (mode != "off" and 0 < len(text) <= 512 and text.isprintable())
        assert len(session.device.label) <= 512


@pytest.mark.parametrize(
    ("remote_addr", "expected"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("203.0.113.7:4711", "203.0.113.7"),
        ("fe80::1%eth0", "fe80::1"),
        ("[2001:db8::1%1]:80", "2001:db8::1"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("", None),
        (None, None),
        ("unix:", None),
        ("/run/site.sock", None),
        ("localhost", None),
        ("\0", None),
        ("203.0.113.7, 10.0.0.1", None),
        ("9" * 100_000, None),
        ("äöü", None),
    ],
)
def test_any_remote_address_can_sign_in(ada, remote_addr, expected):
    status, _, _ = through_wsgi("/sign_in?email=ada@example.com", REMOTE_ADDR=remote_addr)
    assert status == 200
    assert Session.objects.get().ip_address == expected


@pytest.mark.parametrize(
    ("client", "expected"),
    [
        (("203.0.113.7", 1), "203.0.113.7"),
        (("fe80::1%eth0", 1), "fe80::1"),
        (("", 0), None),
        (None, None),
        (("/run/site.sock", None), None),
    ],
)
def test_any_peer_can_sign_in_by_asgi(ada, client, expected):
    status, _, _ = through_asgi("/asign_in?email=ada@example.com", client=client)
    assert status == 200
    assert Session.objects.get().ip_address == expected


@pytest.mark.parametrize("proxies", [[], ["203.0.113.0/24"], ["unix"]])
def test_forged_headers_are_believed_only_of_trusted_proxies(serve, ada, settings, proxies):
    settings.SESSIONS_PLUS_TRUSTED_PROXIES = proxies
    for forwarded, behind_a_proxy in FORWARDED.items():
        headers = [
            ("X-Forwarded-For", forwarded),
            ("X-Real-IP", b"6.6.6.6"),
            ("Forwarded", b"for=6.6.6.6"),
            ("Client-IP", b"6.6.6.6"),
        ]
        status, _, _ = serve(headers, view="/sign_in?email=ada@example.com")
        assert status == 200
        expected = behind_a_proxy if proxies == ["203.0.113.0/24"] else "203.0.113.7"
        assert Session.objects.latest("created_at").ip_address == expected


@pytest.mark.parametrize("is_async", [False, True])
def test_a_bare_request_without_any_of_its_keys_is_served(ada, is_async):
    def store_something(request):
        request.session["cart"] = 1
        return HttpResponse(str(request.user.is_authenticated))

    async def astore_something(request):
        await request.session.aset("cart", 1)
        return HttpResponse(str((await request.auser()).is_authenticated))

    view = astore_something if is_async else store_something
    handler = SessionMiddleware(AuthenticationMiddleware(view))
    request = HttpRequest()
    assert request.META == {}
    response = async_to_sync(handler)(request) if is_async else handler(request)
    assert response.content == b"False"
    session = Session.objects.get()
    assert (session.ip_address, session.user_agent) == (None, None)
    assert session.get_decoded() == {"cart": 1}


@pytest.mark.parametrize(
    "value", ["\0", "\ud800", "\U0001f600", "\u2028", "x" * 100_000, "</script>", "'", '"', "\\"]
)
def test_any_text_can_be_kept_in_a_session(value):
    store = SessionStore()
    store["text"], store[value] = value, 1
    store.save()
    again = SessionStore(store.session_key)
    assert (again["text"], again[value]) == (value, 1)


@pytest.mark.parametrize(
    "stored",
    [
        "\0-free",
        "{",
        "{}{}",
        "[]",
        "null",
        "1",
        "z:",
        "z:!!!!",
        "z:AAAA",
        "x" * 5000,
        ":::",
        "é",
        "{é",
    ],
)
def test_whatever_stands_in_the_table_is_data_or_none(stored, caplog, serve):
    store = SessionStore()
    store.create()
    Session.objects.update(session_data=stored.replace("\0", ""))
    assert dict(SessionStore(store.session_key).items()) == {}
    status, _, body = serve([("Cookie", f"sessionid={store.session_key}".encode())])
    assert (status, body) == (200, b"nobody")
    assert (
        stored not in "".join(record.getMessage() for record in caplog.records) or len(stored) < 3
    )


@pytest.mark.parametrize(
    "value", ["nobody", "", " ", "1.5", "9" * 30, 10**30, float("inf"), [], {}, [1], "\0", "\ud800"]
)
def test_what_cannot_be_the_key_of_a_user_is_nobody_s_session(value):
    store = SessionStore()
    store["_auth_user_id"] = value
    store.save()
    session = Session.objects.get()
    assert (session.user_id, session.authenticated_at) == (None, None)
    again = SessionStore(store.session_key)
    again["cart"] = 1
    again.save()
    session.refresh_from_db()
    assert (session.user_id, session.get_decoded()["cart"]) == (None, 1)

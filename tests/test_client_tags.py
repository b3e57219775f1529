"""The tags that bring the browser client into a page: addresses, nonces, and what they render."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.staticfiles import finders
from django.core.management import call_command
from django.template import Context, Template, TemplateSyntaxError
from django.test import Client, RequestFactory, override_settings
from django.urls import clear_script_prefix, set_script_prefix

from django_sessions_plus.api.schema import servers
from tests.example_site import SETTINGS

ROOT = Path(__file__).resolve().parent.parent
DIRECTORY = ROOT / "django_sessions_plus/static/django_sessions_plus"
PACKAGE = json.loads((DIRECTORY / "package.json").read_text())
VERSION = PACKAGE["version"]
BASE = "/static/django_sessions_plus"
PARTS = (
    *("tokens.js", "recover.js", "tabs.js", "watch.js", "verbs.js", "fetch.js", "idle.js"),
    *("client.js", "list.js", "server.js"),
)


@pytest.fixture(autouse=True)
def _static_files(settings: Any) -> None:
    settings.STATIC_URL = "/static/"


def render(text: str, **context: Any) -> str:
    return Template("{% load sessions_plus %}" + text).render(Context(context))


def imports(html: str) -> dict[str, str]:
    found = re.fullmatch(r'<script type="importmap"[^>]*>(.*)</script>', html)
    assert found
    value: dict[str, str] = json.loads(found[1])["imports"]
    return value


def test_the_import_map_names_each_module_under_its_version():
    found = imports(render("{% session_client_importmap %}"))
    assert found == {
        "django-sessions-plus": f"{BASE}/client.js?v={VERSION}",
        "django-sessions-plus/compat": f"{BASE}/compat.js?v={VERSION}",
        "django-sessions-plus/list": f"{BASE}/list.js?v={VERSION}",
        "django-sessions-plus/react": f"{BASE}/react.js?v={VERSION}",
        **{f"{BASE}/{part}": f"{BASE}/{part}?v={VERSION}" for part in PARTS},
    }


def test_the_import_map_names_all_that_the_modules_import():
    imported = {
        name
        for path in DIRECTORY.glob("*.js")
        for name in re.findall(r'(?:from |import\()"\./([^"]+)"', path.read_text())
    }
    assert imported == set(PARTS)


def test_the_page_can_name_more_and_nothing_in_it_ends_the_script():
    url = "/x.js?a=1&b=</script><script>alert(1)</script>"
    html = render('{% session_client_importmap "react" url %}', url=url)
    assert imports(html)["react"] == url
    assert html.count("</script>") == 1
    with pytest.raises(TemplateSyntaxError):
        render('{% session_client_importmap "react" %}')


def test_a_module_of_the_page_has_the_address_of_the_static_files():
    assert render('{% session_client_module "shop/account.js" %}') == (
        '<script type="module" src="/static/shop/account.js"></script>'
    )
    assert f'src="{BASE}/client.js?v={VERSION}"' in render("{% session_client_module %}")


class Unused:
    """A nonce as Django 6 has it: false until it is used."""

    def __bool__(self) -> bool:
        return False

    def __str__(self) -> str:
        return "of-django"


@pytest.mark.parametrize(
    ("tag", "context", "nonce"),
    [
        ("nonce=own", {"own": "given", "csp_nonce": "other"}, "given"),
        ("", {"csp_nonce": Unused()}, "of-django"),
        ("", {"request": "request"}, "of-request"),
        ("nonce=own", {"own": '"><script>'}, "&quot;&gt;&lt;script&gt;"),
        ("", {}, None),
        ("nonce=own", {"own": ""}, None),
    ],
)
def test_scripts_have_the_nonce_of_the_page(tag: str, context: dict[str, Any], nonce: str | None):
    if "request" in context:
        context["request"] = RequestFactory().get("/")
        context["request"].csp_nonce = "of-request"
    for name in ("session_client_importmap", "session_client_module"):
        html = render(f"{{% {name} {tag} %}}", **context)
        found = re.search(r' nonce="([^"]*)"', html)
        assert (found and found[1]) == nonce


@pytest.mark.django_db
def test_the_value_is_what_the_api_would_answer_and_holds_no_token():
    with override_settings(**SETTINGS):
        client = Client()
        client.force_login(get_user_model().objects.create_user("ada", email="a</script>@b.c"))
        page = client.get("/client/").content.decode()
        answer = client.get("/auth/session").json()
    found = re.search(r'<script id="rendered-session" type="application/json">(.*?)</script>', page)
    assert found
    value = json.loads(found[1])
    assert 0 < value["session"].pop("expires_in") <= SETTINGS["SESSION_COOKIE_AGE"]
    assert answer["session"].pop("expires_in") > 0
    value["session"]["last_seen_at"] = answer["session"]["last_seen_at"]
    assert value == answer
    assert client.cookies["sessionid"].value not in page


@pytest.mark.django_db
def test_the_value_for_nobody_starts_no_session():
    with override_settings(**SETTINGS):
        client = Client()
        page = client.get("/client/").content.decode()
    assert '{"session": null, "user": null}' in page
    assert "sessionid" not in client.cookies


@pytest.mark.django_db
@pytest.mark.parametrize("transport", ["bearer", "jwt", "nonsense"])
def test_the_page_takes_the_transport_that_is_asked_for(transport: str):
    with override_settings(**SETTINGS):
        page = Client().get(f"/client/?transport={transport}").content.decode()
    known = transport if transport != "nonsense" else "cookie"
    assert f'data-transport="{known}"' in page
    assert ("rendered-session" in page) is (known == "cookie")


@pytest.mark.django_db
def test_a_page_with_a_nonce_lets_in_what_bears_it_and_no_other_page_has_one():
    with override_settings(**SETTINGS):
        client = Client()
        answers = [client.get("/client/"), client.get("/client/"), client.get("/sign-in/")]
    nonces = [
        re.findall(r"'nonce-([^']+)'", each.headers["Content-Security-Policy"]) for each in answers
    ]
    assert [len(each) for each in nonces] == [1, 1, 0]
    assert nonces[0] != nonces[1]
    assert f'nonce="{nonces[0][0]}"' in answers[0].content.decode()


@pytest.mark.django_db
def test_without_react_its_page_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(finders, "find", lambda path: None)
    with override_settings(**SETTINGS):
        page = Client().get("/client/react/").content.decode()
    assert "make demo-react" in page
    assert "importmap" not in page


def test_names_with_a_hash_of_the_content_need_no_version(tmp_path: Path, settings: Any):
    settings.STATIC_ROOT = str(tmp_path)
    settings.DEBUG = False
    settings.STORAGES = {
        **settings.STORAGES,
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.ManifestStaticFilesStorage"},
    }
    call_command("collectstatic", interactive=False, verbosity=0)
    found = imports(render("{% session_client_importmap %}"))
    hashed = r"/static/django_sessions_plus/(\w+)\.[0-9a-f]{12}\.js"
    assert all(re.fullmatch(hashed, address) for address in found.values())
    assert set(found) == {
        *("django-sessions-plus", "django-sessions-plus/compat"),
        *("django-sessions-plus/list", "django-sessions-plus/react"),
        *(f"{BASE}/{part}" for part in PARTS),
    }


# Below a subpath


@pytest.fixture
def subpath():
    set_script_prefix("/sub/")
    yield "/sub"
    clear_script_prefix()


@pytest.mark.urls("tests.api.urls")
def test_the_address_of_the_api_is_where_it_is_mounted(subpath):
    assert render("{% session_api_url %}") == "/sub/auth/"
    clear_script_prefix()
    assert render("{% session_api_url %}") == "/auth/"


@pytest.mark.parametrize(
    ("before", "after"),
    [({}, {"servers": [{"url": "/sub"}]}), ({"servers": []}, {"servers": []})],
)
def test_the_schema_names_the_subpath_unless_the_project_names_servers(subpath, before, after):
    assert servers.name_server(dict(before), None, None, public=True) == after
    clear_script_prefix()
    assert servers.name_server({}, None, None, public=True) == {}

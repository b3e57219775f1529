"""The documentation held against the code, in both directions."""

import ast
import importlib
import inspect
import json
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from django.conf import global_settings, settings
from django.contrib import admin
from django.contrib.auth.models import User
from django.core import checks
from django.dispatch import Signal
from django.test import Client, override_settings
from django.utils.module_loading import import_string

from django_sessions_plus import conf, decorators, devices, exceptions, sessions, signals
from django_sessions_plus.accounts.credential_changes import report_changed_credential
from django_sessions_plus.api import errors, serializers, urls
from django_sessions_plus.backends import running
from django_sessions_plus.backends.caching import entries
from django_sessions_plus.backends.db import SessionStore
from django_sessions_plus.jwt import issuing
from django_sessions_plus.jwt.refresh import refresh
from django_sessions_plus.models import Session
from django_sessions_plus.policy import EndReason, Timeout
from tests.test_architecture import RANKS

pytestmark = pytest.mark.docs

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "django_sessions_plus"
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
FILES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *PAGES]

BLOCK = re.compile(r"^( *)```(\w+)\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]+\]\(([^)]+)\)")

# Run with files around them, by a test of their own.
RUN_AS_A_PROJECT = DOCS / "extending.md"
# Settings that are neither ours nor Django's.
OF_OTHER_PACKAGES = {
    *("SPECTACULAR_SETTINGS", "REST_FRAMEWORK"),
    *("CORS_ALLOWED_ORIGINS", "CORS_ALLOW_CREDENTIALS", "CORS_EXPOSE_HEADERS"),
}
# Public in sessions.py for other parts of the package, not for projects.
PLUMBING = {"enforce_limit", "current", "set_current", "reset_current"}
# Words the glossary has another one for.
UNUSED_WORDS = ["blacklist", "kill"]


def text_of(page: str) -> str:
    return (DOCS / page).read_text()


def table(page: str, *header: str) -> list[list[str]]:
    """Return the rows of the page's table whose first header cells are these."""
    lines = text_of(page).splitlines()
    start = next(i for i, line in enumerate(lines) if cells(line)[: len(header)] == list(header))
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append(cells(line))
    return rows


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def code(cell: str) -> list[str]:
    """Return what stands in backticks."""
    return re.findall(r"`([^`]+)`", cell)


def blocks(file: Path, language: str) -> Iterator[str]:
    for found in BLOCK.finditer(file.read_text()):
        if found[2] == language:
            yield textwrap.dedent(found[3])


def prose(file: Path) -> str:
    return BLOCK.sub("", file.read_text())


PYTHON = [
    pytest.param(file, block, id=f"{file.stem}-{number}")
    for file in FILES
    for number, block in enumerate(blocks(file, "python"))
]


def run(block: str) -> dict[str, Any]:
    """Run a block of documentation and return what it defined."""
    namespace: dict[str, Any] = {"__name__": "documentation", "urlpatterns": []}
    exec(compile(block, "documentation", "exec"), namespace)
    return namespace


def settings_of(block: str) -> dict[str, Any]:
    """Return the settings a block assigns; none for a block that is no settings."""
    body = ast.parse(block).body
    if any(isinstance(node, ast.ClassDef) for node in body):
        return {}
    names = {
        target.id
        for node in body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name) and target.id.isupper()
    }
    return {name: value for name, value in run(block).items() if name in names} if names else {}


@pytest.fixture
def _admin_of_users() -> Iterator[None]:
    """Put back the admin of users, which an example replaces."""
    before = type(admin.site.get_model_admin(User))
    yield
    admin.site.unregister(User)
    admin.site.register(User, before)


# Code in the pages


@pytest.mark.parametrize(("file", "block"), PYTHON)
@pytest.mark.django_db
@pytest.mark.usefixtures("_admin_of_users")
def test_python_in_the_documentation_runs(file: Path, block: str):
    if file == RUN_AS_A_PROJECT:
        compile(block, str(file), "exec")
    else:
        run(block)


@pytest.mark.parametrize(("file", "block"), PYTHON)
@pytest.mark.usefixtures("_admin_of_users")
# Where the pages are mounted whose names the settings use.
@pytest.mark.urls("tests.pages_urls")
def test_settings_in_the_documentation_exist_and_raise_no_warning(file: Path, block: str):
    values = {} if file == RUN_AS_A_PROJECT else settings_of(block)
    for name in values.keys() - OF_OTHER_PACKAGES:
        assert name in conf.declared() or hasattr(global_settings, name)
    values.pop("SILENCED_SYSTEM_CHECKS", None)
    # Examples of paths in a project that is not there.
    values.pop("SESSIONS_PLUS_MAX_PER_USER", None)
    values.pop("SESSIONS_PLUS_USER_LANGUAGE", None)
    values.pop("SESSIONS_PLUS_SIGN_IN", None)
    # A page that the site of these tests has not.
    values.pop("LOGIN_URL", None)
    # Files on a machine that is not this one; tests/jwt/test_docs.py makes them.
    values.pop("SESSIONS_PLUS_JWT_KEYS", None)
    # Without those there is only a secret to sign with.
    values.pop("SESSIONS_PLUS_TOKEN_AUDIENCES", None)
    # A database that is not there either; tests/backends/fastpath/test_prepared.py has one with these options.
    values.pop("DATABASES", None)
    if file.stem == "switching":
        # The app of the previous engine, which a site has that switches.
        values["INSTALLED_APPS"] = [*settings.INSTALLED_APPS, "django.contrib.sessions"]
    # The engine of that page wants PostgreSQL, which these tests have not.
    expected = {"django_sessions_plus.W045"} if file.stem == "leases" else set()
    with override_settings(**values):
        found = checks.run_checks(tags=["django_sessions_plus"])
    assert {message.id for message in found if message.level >= checks.WARNING} <= expected


def test_the_settings_of_the_readme_name_what_exists():
    values: dict[str, Any] = {}
    for block in blocks(ROOT / "README.md", "python"):
        values |= settings_of(block)
    ours = {
        *("INSTALLED_APPS", "SESSION_ENGINE", "MIDDLEWARE", "LOGIN_URL"),
        "SESSIONS_PLUS_TRUSTED_PROXIES",
    }
    assert set(values) == ours
    for module in [*values["INSTALLED_APPS"], values["SESSION_ENGINE"]]:
        importlib.import_module(module)
    for path in values["MIDDLEWARE"]:
        import_string(path)


def test_the_json_of_the_api_page_has_the_fields_the_api_has():
    example, unsettled = (json.loads(block) for block in blocks(DOCS / "api.md", "json"))
    assert unsettled == {"settled": False, "within": entries.max_age()}
    assert list(example["session"]) == list(serializers.SessionSerializer().fields)
    assert list(example["session"]["device"]) == list(serializers.DeviceSerializer().fields)
    assert list(example["user"]) == ["id", *conf.Config.USER_FIELDS.default]
    device = devices.parse(example["session"]["user_agent"])
    assert example["session"]["device"] == vars(device)


def test_the_extension_of_the_documentation_works(tmp_path: Path):
    model, engine, engine_setting = blocks(RUN_AS_A_PROJECT, "python")
    shop = tmp_path / "shop"
    shop.mkdir()
    (shop / "__init__.py").touch()
    (shop / "models.py").write_text(model)
    (shop / "sessions.py").write_text(engine)
    (tmp_path / "settings.py").write_text(
        "from tests.settings import *\n"
        'INSTALLED_APPS = [*INSTALLED_APPS, "shop"]\n'
        'DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}\n'
        f"{engine_setting}"
    )
    (tmp_path / "story.py").write_text(EXTENSION_STORY)
    subprocess.run(
        [sys.executable, "story.py"],
        cwd=tmp_path,
        check=True,
        env={"PYTHONPATH": f"{tmp_path}:{ROOT}", "DJANGO_SETTINGS_MODULE": "settings"},
    )


EXTENSION_STORY = """
import django
django.setup()
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client
from django_sessions_plus import sessions
from django_sessions_plus.backends.db import SessionStore
from django_sessions_plus.models import Session
from shop.models import ShopSession

call_command("makemigrations", "shop", verbosity=0)
call_command("migrate", verbosity=0)
call_command("check", fail_level="WARNING")
user = User.objects.create_user("ada")
client = Client()
client.force_login(user)
session = client.session
session["basket"] = ["book", "pen"]
session.save()
(row,) = sessions.list_for(user)
assert isinstance(row, ShopSession) and row.basket_size == 2, row.basket_size
assert sessions.session_model() is ShopSession
assert not Session.objects.exists()
assert sessions.revoke(row)
assert not sessions.list_for(user).exists()
"""


# Pages against code


def test_the_settings_page_lists_every_setting_with_its_default_and_meaning():
    rows = table("settings.md", "setting", "default", "takes", "meaning")
    documented = [
        (code(name)[0], eval(code(default)[0], {"timedelta": timedelta}), takes, meaning)
        for name, default, takes, meaning in rows
    ]
    assert documented == [
        (setting.name, setting.default, setting.kind.wants, setting.meaning)
        for setting in conf.declared().values()
    ]


def test_the_settings_of_django_that_are_honoured_exist():
    for name, _ in table("settings.md", "setting", "here"):
        for setting in code(name):
            assert hasattr(global_settings, setting.partition("[")[0])


def test_the_checks_page_lists_every_id_and_no_other():
    source = "".join(path.read_text() for path in (PACKAGE / "checks").glob("*.py"))
    given = set(re.findall(r'"([EWI]\d{3})"', source))
    listed = re.findall(r"^\| ([EWI]\d{3}) \|", text_of("checks.md"), re.MULTILINE)
    assert listed == sorted(listed, key=lambda listed_id: ("EWI".index(listed_id[0]), listed_id))
    assert set(listed) == given
    assert len(listed) == len(given)


def test_the_checks_page_marks_what_runs_with_deploy_only():
    rows = re.findall(r"^\| ([EWI]\d{3}) \| (deploy: )?", text_of("checks.md"), re.MULTILINE)
    marked = {row_id for row_id, deploy in rows if deploy}
    assert marked == deploy_only_ids()


def deploy_only_ids() -> set[str]:
    found = set()
    for path in (PACKAGE / "checks").glob("*.py"):
        for function in ast.walk(ast.parse(path.read_text())):
            if isinstance(function, ast.FunctionDef) and function.decorator_list:
                decorator = ast.unparse(function.decorator_list[0])
                if "deploy=True" in decorator:
                    found |= set(re.findall(r"problem\('([EWI]\d{3})'", ast.unparse(function)))
    return found


def signal_names() -> list[str]:
    return [name for name, value in vars(signals).items() if isinstance(value, Signal)]


def test_the_signals_page_lists_every_signal_with_its_arguments():
    described = signal_docstrings()
    documented = {code(name)[0]: code(names) for name, names, _ in table("signals.md", "signal")}
    assert list(documented) == signal_names() == list(described)
    for name, arguments in documented.items():
        assert arguments == [word for word in described[name] if word in ARGUMENTS]


ARGUMENTS = {
    *("session", "user", "reason", "actor", "changes"),
    *("age", "since_rotation", "context_changed", "credential"),
}


def signal_docstrings() -> dict[str, list[str]]:
    """Return what stands in double backticks in the docstring below each signal, once each."""
    body = ast.parse((PACKAGE / "signals.py").read_text()).body
    found = {}
    for node, below in pairwise(body):
        if isinstance(node, ast.Assign) and isinstance(below, ast.Expr):
            (name,) = (target.id for target in node.targets if isinstance(target, ast.Name))
            if name in signal_names():
                found[name] = list(dict.fromkeys(re.findall(r"``(\w+)``", ast.unparse(below))))
    return found


def test_signals_that_are_called_reserved_are_those_nothing_sends():
    rows = table("signals.md", "signal")
    reserved = {code(name)[0] for name, _, when in rows if when.startswith("reserved")}
    elsewhere = "".join(
        path.read_text() for path in PACKAGE.rglob("*.py") if path.name != "signals.py"
    )
    assert reserved == {name for name in signal_names() if name not in elsewhere}


@pytest.mark.django_db(transaction=True)
def test_signals_carry_the_documented_arguments():
    received: dict[str, set[str]] = {}

    def listen(name: str) -> Any:
        def receive(signal: Any, sender: Any, **arguments: Any) -> None:
            received[name] = set(arguments)
            assert sender is Session

        return receive

    receivers = {name: listen(name) for name in signal_names()}
    for name, receiver in receivers.items():
        getattr(signals, name).connect(receiver)
    try:
        sign_in_move_and_sign_out()
    finally:
        for name, receiver in receivers.items():
            getattr(signals, name).disconnect(receiver)
    rows = table("signals.md", "signal")
    assert received == {
        code(name)[0]: set(code(names))
        for name, names, when in rows
        if not when.startswith("reserved")
    }


def sign_in_move_and_sign_out() -> None:
    client = Client(HTTP_USER_AGENT="one")
    client.force_login(User.objects.create_superuser("ada"))
    with override_settings(SESSIONS_PLUS_LAST_SEEN_INTERVAL=timedelta(0)):
        client.get("/admin/")
        client.get("/admin/", HTTP_USER_AGENT="two")
    client.logout()
    for agent in ("curl/8.6.0", "Mozilla/5.0 (X11; Linux x86_64; rv:120.0) Firefox/120.0"):
        store = SessionStore()
        store.meta = {"HTTP_USER_AGENT": agent}
        store["_auth_user_id"] = User.objects.get().pk
        store.save()
    use_a_refresh_token_again()
    report_changed_credential(User.objects.get(), "totp")


def use_a_refresh_token_again() -> None:
    client = Client()
    client.force_login(User.objects.get())
    row = Session.objects.active().order_by("-created_at")[0]
    token = sessions.issue_tokens(row).refresh
    with override_settings(SESSIONS_PLUS_REFRESH_GRACE=timedelta(0)):
        refresh(token)
        with pytest.raises(exceptions.InactiveSessionError):
            refresh(token)


def test_the_errors_page_lists_every_code_of_the_api():
    rows = table("errors.md", "code", "status")
    documented = [(code(name)[0], int(status)) for name, status, _ in rows]
    assert documented == [(name, error.status) for name, error in errors.ERRORS.items()]


def test_the_errors_page_lists_every_exception():
    documented = {
        code(name)[0]: (code(symbol)[0], set(code(also)))
        for name, symbol, also, _ in table("errors.md", "exception", "code")
    }
    defined = {
        name: cls
        for name, cls in vars(exceptions).items()
        if inspect.isclass(cls) and cls.__module__ == exceptions.__name__
    }
    own = set(defined) | {"Exception"}
    assert documented == {
        name: (cls.code, {base.__name__ for base in cls.__bases__} - own)
        for name, cls in defined.items()
    }


def test_the_engine_page_lists_every_reason_of_an_end():
    rows = table("engine.md", "`end_reason`")
    assert [code(reason)[0] for reason, _ in rows] == [*EndReason.values, *Timeout.values]


def test_the_verbs_page_lists_every_verb_with_its_signature():
    documented = {
        entry.partition("(")[0]: entry
        for row in table("verbs.md", "verb")
        for entry in code(row[0])
    }
    verbs = {
        name: function
        for name, function in vars(sessions).items()
        if inspect.isfunction(function)
        and function.__module__ in {sessions.__name__, running.__name__, issuing.__name__}
        and not name.startswith("_")
        and name not in PLUMBING
    }
    twins = {name for name in verbs if name[0] == "a" and name[1:] in verbs}
    assert set(documented) == set(verbs) - twins
    for name, entry in documented.items():
        assert entry.replace('"', "'") == name + plain_signature(verbs[name])
    assert twins == set(re.findall(r"`(a\w+)\(\)`", text_of("verbs.md"))) - set(documented)


def plain_signature(function: Any) -> str:
    signature = inspect.signature(function)
    bare = [
        parameter.replace(
            annotation=inspect.Parameter.empty,
            default=str(parameter.default)
            if isinstance(parameter.default, str)
            else parameter.default,
        )
        for parameter in signature.parameters.values()
    ]
    return str(inspect.Signature(bare))


def test_the_api_page_lists_every_endpoint():
    documented = {
        (method, path.replace("<id>", "<str:id>"))
        for method, path in (
            (row[0].split()[0], code(row[0])[0]) for row in table("api.md", "method, path")
        )
    }
    served = {
        (method.upper(), str(pattern.pattern))
        for pattern in urls.urlpatterns
        for method in ("get", "post", "put", "patch", "delete")
        if hasattr(pattern.callback.view_class, method)
    }
    assert documented == served


def test_the_middleware_page_describes_every_decorator():
    public = {
        name
        for name, value in vars(decorators).items()
        if inspect.isfunction(value)
        and value.__module__ == decorators.__name__
        and not name.startswith("_")
    }
    described = set(re.findall(r"^`([a-z_]+)`", text_of("middleware.md"), re.MULTILINE))
    assert described == public


@pytest.mark.parametrize(
    "row", table("devices-and-ip.md", "`REMOTE_ADDR`"), ids=lambda row: " ".join(row[:2])
)
def test_the_addresses_of_the_devices_page_are_told_apart_as_it_says(row: list[str]):
    peer, header, answer = row
    (block,) = (
        block for block in blocks(DOCS / "devices-and-ip.md", "python") if "PROXIES" in block
    )
    meta = {"REMOTE_ADDR": code(peer)[0], "HTTP_X_FORWARDED_FOR": "".join(code(header))}
    found = devices.client_ip(meta, run(block)["SESSIONS_PLUS_TRUSTED_PROXIES"])
    assert found == (None if answer == "none" else code(answer)[0])


# All pages


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_settings_that_are_mentioned_exist(file: Path):
    mentioned = set(re.findall(r"\bSESSIONS_PLUS_[A-Z_]+\b", file.read_text()))
    assert mentioned - set(conf.declared()) - {"SESSIONS_PLUS_UPDATE_AEG"} == set()


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_dotted_paths_that_are_mentioned_exist(file: Path):
    for path in re.findall(r"`(django_sessions_plus(?:\.\w+)+)`", prose(file)):
        if re.fullmatch(r".*\.[EWI]\d{3}", path) or path == "django_sessions_plus.api":
            continue
        try:
            importlib.import_module(path)
        except ImportError:
            assert is_in_contrib(path) or import_string(path)


def is_in_contrib(path: str) -> bool:
    """Return whether a path leads into a module for another package, which need not be installed here."""
    module, _, name = path.removeprefix("django_sessions_plus.").rpartition(".")
    file = PACKAGE / f"{module.replace('.', '/')}.py"
    if not module.startswith("contrib.") or not file.exists():
        return False
    return name in {getattr(node, "name", "") for node in ast.parse(file.read_text()).body}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_checks_that_are_mentioned_exist(file: Path):
    mentioned = set(re.findall(r"(?<!security\.)(?<!admin\.)\b[EWI]\d{3}\b", prose(file)))
    listed = set(re.findall(r"^\| ([EWI]\d{3}) \|", text_of("checks.md"), re.MULTILINE))
    assert mentioned <= listed


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_links_lead_somewhere(file: Path):
    for target in LINK.findall(prose(file)):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        linked = (file.parent / path).resolve() if path else file
        assert linked.exists(), target
        if anchor:
            assert anchor in anchors(linked), target


def anchors(file: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", prose(file), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_every_page_can_be_reached_from_the_index_and_the_index_from_the_readme():
    index = DOCS / "index.md"
    linked = {(DOCS / target.partition("#")[0]).resolve() for target in LINK.findall(prose(index))}
    assert set(PAGES) - {index} <= linked
    assert "docs/index.md" in LINK.findall(prose(ROOT / "README.md"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_words_are_those_of_the_glossary(file: Path):
    for word in UNUSED_WORDS:
        assert not re.search(rf"\b{word}", file.read_text())


def test_the_changelog_gives_every_change_a_sentence():
    entries = re.findall(r"^- (.+(?:\n  .+)*)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert "## [Unreleased]" in (ROOT / "CHANGELOG.md").read_text()
    assert entries
    assert [entry for entry in entries if not entry.endswith(".")] == []


def test_the_tree_of_contributing_names_every_module_at_the_top():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    modules = {path.name for path in PACKAGE.glob("*.py")} - {"__init__.py"}
    packages = {f"{path.name}/" for path in PACKAGE.iterdir() if path.is_dir()} - {"__pycache__/"}
    assert [name for name in sorted(modules | packages) if f"`{name}`" not in text] == []


def test_the_ranks_of_contributing_are_those_of_the_architecture():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    listed = text.partition("for types neither:\n")[2].partition("REST framework")[0]
    ranks = {int(rank): set(code(names)) for rank, names in re.findall(r"(\d)\. (`.+)", listed)}
    assert ranks == {rank: set(names) - {"migrations"} for rank, names in RANKS.items()}


def test_nothing_is_installed_from_where_it_is_not_yet():
    """By the name alone pip would take whatever somebody else publishes under it."""
    pages = [ROOT / "README.md", *PAGES]
    wrong = re.compile(r"pip install [^\n`]*(?<![\w/-])django-sessions-plus")
    assert [page.name for page in pages if wrong.search(page.read_text())] == []


def test_the_table_of_the_standard_tells_both_notices_apart():
    """ASVS 5.0 6.3.5 wants one of suspicious sign-ins, 6.3.7 one of changed credentials."""
    how = dict(table("security.md", "item", "how"))
    assert "(notices.md#the-e-mail)" in how["6.3.5"]
    assert "(notices.md#changed-credentials)" in how["6.3.7"]
    assert "new device" not in how["6.3.7"]

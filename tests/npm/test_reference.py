"""Snippets of two documents on other systems run on this client, in Chromium: unchanged but for imports and the host.

With React 18 and 19, in strict mode. Skipped where the documents are not: they are not this project's.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.conftest import PASSWORD
from tests.npm import snippets
from tests.npm.conftest import QUIET, run, serving
from tests.npm.snippets import adapted, between, lines_with
from tests.ports import free_port

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [
    pytest.mark.npm,
    pytest.mark.slow,
    pytest.mark.skipif(not snippets.FOLDER.is_dir(), reason="the documents are not here"),
]

EMAIL = "test@example.com"
ADD_PERSON = f"""
from django.contrib.auth import get_user_model
get_user_model().objects.create_user({EMAIL!r}, {EMAIL!r}, {PASSWORD!r}, first_name="Tess")
"""
COMPAT = "django-sessions-plus/compat"
STORES = {
    "./lib/client": "/src/client.js",
    "nevr/client": COMPAT,
    "nevr/plugins/auth/client": COMPAT,
}
OBJECTS = {"bknd": COMPAT, "./SessionProvider": "/src/SessionProvider.tsx"}
API = f'import {{ Api }} from "{COMPAT}";\n'
SIGN_IN = f'await api.auth.login("password", {{ email: "{EMAIL}", password: "{PASSWORD}" }});\n'
VALUES = f'const email = "{EMAIL}", password = "{PASSWORD}";\n'
ROOT = """
import { StrictMode, createElement } from "react";
import { createRoot } from "react-dom/client";
export const show = (component) =>
  createRoot(document.getElementById("root")).render(createElement(StrictMode, null, component));
"""


@pytest.fixture(scope="module")
def person(django):
    django.manage("shell", "-c", ADD_PERSON)


@pytest.fixture(scope="module", params=["18.3.1", "19.3.1"], ids=["react18", "react19"])
def folder(request, project, tarball, person, tmp_path_factory):
    place = tmp_path_factory.mktemp("reference") / "project"
    shutil.copytree(project("reference"), place, symlinks=True)
    packages = (f"react@{request.param}", f"react-dom@{request.param}")
    run("npm", "install", *QUIET, "--no-save", *packages, tarball, cwd=place)
    (place / "src").mkdir()
    (place / "src/root.js").write_text(ROOT)
    (place / "src/client.js").write_text(
        'import { createSessionClient } from "django-sessions-plus";\n'
        "export const client = createSessionClient();\n"
    )
    return place


@pytest.fixture(scope="module")
def address(folder, django) -> Iterator[str]:
    port = free_port()
    with serving(
        *("npx", "vite", "--strictPort", "--host", "127.0.0.1", "--port", str(port)),
        port=port,
        cwd=folder,
        path="/index.html",
        DJANGO_URL=django.address,
    ) as found:
        yield found


_NUMBERS = count()


class Visit:
    """A browser at the page of the snippets."""

    def __init__(self, folder: Any, address: str, browser: Browser) -> None:
        self.folder = folder
        self.address = address
        self.context = browser.new_context()
        self.context.set_default_timeout(60_000)
        self.page = self.open()
        self.said: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.complaints: list[str] = []
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def open(self) -> Page:
        page = self.context.new_page()
        page.goto(f"{self.address}/index.html")
        return page

    def sign_in(self) -> None:
        self.page.evaluate(
            "async (credentials) => {"
            'const { client } = await import("/src/client.js");'
            "const { error } = await client.signIn(credentials);"
            "if (error) throw new Error(error.detail);"
            "}",
            {"username": EMAIL, "password": PASSWORD},
        )

    def write(self, name: str, code: str, **modules: str) -> None:
        (self.folder / "src" / name).write_text(adapted(code, **(modules or OBJECTS)))

    def run(self, name: str, code: str, page: Page | None = None, **modules: str) -> Any:
        """Run a module and return its default export."""
        # Under another name each time: what was imported once is not run again.
        name = f"{next(_NUMBERS)}-{name}"
        self.write(name, code, **modules)
        path = f"/src/{name}"
        return (page or self.page).evaluate(
            "async (path) => (await import(path)).default ?? null", path
        )


@pytest.fixture
def visit(folder, address: str, chromium: Browser) -> Iterator[Callable[[], Visit]]:
    made: list[Visit] = []

    def make() -> Visit:
        made.append(Visit(folder, address, chromium))
        return made[-1]

    yield make
    for each in made:
        each.context.close()
        assert each.complaints == []


def store_text() -> str:
    return snippets.STORES.read_text()


# Clients with a store


def test_the_session_is_fetched_once(visit):
    there = visit()
    code = between(store_text(), "import { client }", "\ntypescript\n")
    there.run("once.ts", code, **STORES)
    assert there.said[-1] == "Not logged in"
    there.sign_in()
    there.run("again.ts", code, **STORES)
    assert f"Logged in as: {EMAIL}" in there.said
    assert there.said[-1].startswith("Session expires: 20")


def test_a_session_tells_of_its_device(visit):
    there = visit()
    there.sign_in()
    part = between(store_text(), "Get Active Sessions", "JWT vs Session Tokens")
    code = between(part, "const { data }", "\n\n\n")
    there.run("device.ts", f'import {{ client }} from "/src/client.js";\n{code}', **STORES)
    assert re.search("Mozilla/5.0", there.said[-2])
    assert there.said[-1] == "127.0.0.1"


def test_a_client_of_plugins_is_made(visit):
    there = visit()
    code = between(store_text(), "import { authClient }", "\nReact Integration")
    code += "\nexport default (await client.auth.getSession()).error;"
    assert there.run("plugins.ts", code, **STORES) is None


def test_a_component_follows_the_store(visit):
    there = visit()
    code = between(store_text(), "// React example with reactive", "\nSession Revalidation")
    shown = 'import { show } from "/src/root.js";\nshow(<UserStatus />);'
    there.run("status.tsx", f"{code}\n{shown}", **STORES)
    there.page.get_by_text("Not logged in").wait_for()
    there.sign_in()
    there.page.get_by_text("Welcome, Tess!").wait_for()


def test_a_provider_of_a_projects_own_signs_out_by_a_click(visit):
    there = visit()
    there.sign_in()
    part = between(store_text(), "Auth Provider Pattern", "Usage in Components")
    there.write("auth.tsx", between(part, "import { createContext", "\n\n\n"), **STORES)
    code = between(store_text(), "function Dashboard()", "\nSession Security")
    around = (
        'import { AuthProvider, useAuth } from "/src/auth.tsx";\n'
        'import { show } from "/src/root.js";\n'
        "const Spinner = () => <i>Spinner</i>;\n"
        "const Redirect = ({ to }) => <i>Redirected to {to}</i>;\n"
        f"{code}\nshow(<AuthProvider><Dashboard /></AuthProvider>);"
    )
    there.run("dashboard.tsx", around, **STORES)
    there.page.get_by_role("heading", name="Welcome, Tess").wait_for()
    there.page.get_by_role("button", name="Sign Out").click()
    there.page.get_by_text("Redirected to /login").wait_for()


# Api objects


def test_tokens_survive_a_reload_where_there_is_a_storage(visit):
    (code,) = lines_with('import { Api } from "bknd"; // Persistent')
    head, *pieces = code.split("const api =")
    survived = []
    for number, piece in enumerate(pieces):
        there = visit()
        module = f"{head}const api ={piece}\n"
        there.run(f"storage{number}.ts", f"{module}{SIGN_IN}")
        there.page.reload()
        ask = f"{module}\nexport default (await api.auth.me()).ok;"
        survived.append(there.run(f"storage{number}.ts", ask))
    assert survived == [True, True, False]


def test_an_application_begins_with_who_is_signed_in(visit):
    there = visit()
    (code,) = lines_with("async function initializeAuth()")
    module = f"{API}{code}\nexport default user?.email ?? null;"
    assert there.run("init.ts", module) is None
    there.run("in.ts", f"{API}const api = new Api({{ storage: localStorage }});\n{SIGN_IN}")
    assert there.run("init.ts", module) == EMAIL


def test_a_manager_of_sessions_keeps_its_listeners_informed(visit):
    there = visit()
    (code,) = lines_with('import { Api } from "bknd"; class SessionManager')
    story = (
        f"{VALUES}await session.login(email, password);\nconst during = session.isAuthenticated();"
        "\nawait session.refresh();\nconst { role } = session.getUser();\nawait session.logout();"
        "\nexport default [during, role, session.isAuthenticated()];"
    )
    assert there.run("manager.ts", f"{code}\n{story}") == [True, "member", False]
    assert there.said[-3:] == [
        *[f"Session changed: {EMAIL}"] * 2,
        "Session changed: logged out",
    ]


@pytest.mark.parametrize("transport", ["cookie", "header"])
def test_both_transports_sign_in_and_out(visit, transport):
    there = visit()
    starts = 'const api = new Api({ host: "http://localhost:7654", '
    starts += (
        'tokenTransport: "cookie"' if transport == "cookie" else "storage: localStorage, token"
    )
    (code,) = lines_with(starts)
    # Other data than the session is the project's.
    rest = "Api.prototype.data = { readMany: async () => [] };\n"
    end = "\nexport default (await api.auth.me()).ok;"
    signed_in = there.run("transport.ts", f"{API}{rest}{VALUES}{code}{end}")
    assert signed_in is (transport == "header")


def test_a_periodic_check_leaves_the_page_when_the_session_is_over(visit):
    there = visit()
    (code,) = lines_with("class SessionWithAutoRefresh")
    start = (
        '\nconst api = new Api({ tokenTransport: "cookie" });\n'
        f"{SIGN_IN}new SessionWithAutoRefresh(location.origin).startAutoRefresh(200);"
    )
    there.run("periodic.ts", f"{API}{code}{start}")
    other = there.open()
    there.run("out.ts", 'import { client } from "/src/client.js";\nawait client.signOut();', other)
    there.page.wait_for_url("**/login?session=expired")


def test_the_time_of_a_token_is_read_out_of_it(visit):
    there = visit()
    (code,) = lines_with('import { jwtDecode } from "jwt-decode"')
    story = (
        "\nconst api = new Api();\n"
        + SIGN_IN.replace("await", "const { data } = await", 1)
        + "const manager = new TokenManager(location.origin);\nmanager.scheduleRefresh(data.token);\n"
        "const isScheduled = manager.refreshTimer !== null;\nmanager.cleanup();\n"
        "export default isScheduled;"
    )
    assert there.run("time.ts", f"{API}{code}{story}") is True


def test_a_provider_of_sessions_and_the_components_in_it(visit):
    there = visit()
    (provider,) = lines_with("import { createContext, useContext, useEffect, useState, ReactNode }")
    there.write("SessionProvider.tsx", provider.replace("ReactNode }", "type ReactNode }", 1))
    (parts,) = lines_with('import { useSession } from "./SessionProvider"; function Header()')
    (handler,) = lines_with('import { useEffect } from "react"; import { useSession }')
    around = (
        'import { SessionProvider } from "/src/SessionProvider.tsx";\n'
        'import { show } from "/src/root.js";\n'
        "const Navigate = ({ to }) => <i>Navigated to {to}</i>;\n"
        "const Routes = () => <><Header /><ProtectedPage /></>;\n"
        f"{parts}\n{handler.replace(USE_SESSION, '', 1)}\nshow(<App />);"
    )
    there.run("in.ts", f"{API}const api = new Api({{ storage: localStorage }});\n{SIGN_IN}")
    there.run("app.tsx", around)
    there.page.get_by_text(f"Welcome, {EMAIL}").wait_for()
    there.page.get_by_text("Protected content").wait_for()
    there.page.get_by_role("button", name="Logout").click()
    there.page.get_by_text("Navigated to /login").wait_for()


USE_SESSION = 'import { useSession } from "./SessionProvider";'


def test_other_tabs_hear_of_a_sign_out_and_of_a_sign_in(visit):
    there = visit()
    (code,) = lines_with("// Sync session state across browser tabs")
    storing = f"{API}const api = new Api({{ storage: localStorage }});\n"
    other = there.open()
    there.run("sync.ts", f"{storing}{code}", other)
    with other.expect_navigation():
        there.run("in.ts", f"{storing}{SIGN_IN}")
    there.run("sync.ts", f"{storing}{code}", other)
    there.run("gone.ts", f"{storing}await api.auth.logout();")
    other.wait_for_url("**/login")


def test_activity_is_watched_and_an_unload_is_warned_of(visit):
    there = visit()
    (activity,) = lines_with("// Track user activity")
    (secure,) = lines_with("// For sensitive apps")
    there.run("activity.ts", f"{API}const api = new Api();\n{activity}")
    there.run("secure.ts", f"{API}{secure}\n{SIGN_IN}")
    assert (
        there.page.evaluate('dispatchEvent(new Event("beforeunload", { cancelable: true }))')
        is False
    )


def test_a_session_that_is_over_is_cleared_out_of_the_storage(visit):
    there = visit()
    (code,) = lines_with("async function checkSession() { const { ok }")
    before = f"{API}const api = new Api({{ storage: localStorage }});\nconst user = 1;\n"
    story = "\nexport default [await checkSession(), localStorage.getItem('auth')];"
    there.run("in.ts", f"{API}const api = new Api({{ storage: localStorage }});\n{SIGN_IN}")
    assert there.run("check.ts", f"{before}{code}{story}") == [1, "signed in"]
    there.run(
        "out.ts",
        f"{API}const api = new Api({{ storage: localStorage }});\nawait api.auth.me(); await api.auth.logout();",
    )
    assert there.run("check.ts", f"{before}{code}{story}") == [None, None]


def test_what_the_document_says_should_be_true_is(visit):
    there = visit()
    (persists,) = lines_with("// Login await api.auth.login")
    (cleared,) = lines_with("await api.auth.logout(); const { ok }")
    before = f"{API}const api = new Api({{ storage: localStorage }});\n"
    there.run("persists.ts", f"{before}{persists}".replace('"pass"', f'"{PASSWORD}"'))
    there.run("cleared.ts", f"{before}await api.auth.me();\n{cleared}")
    assert there.said[-1] == "Session cleared: true"
    assert there.said[-2].startswith("Session persists: ")
    assert there.said[-2] != "Session persists: false"

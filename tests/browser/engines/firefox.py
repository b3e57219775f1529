"""Firefox by WebDriver BiDi, which it speaks itself: no other driver is needed."""

from __future__ import annotations

import base64
import json
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from websocket import WebSocket

from tests.browser.engines.driving import PATIENCE, Browser, ScriptError, Tab, end

# No request but those of the tests, and no page but theirs.
PREFERENCES = {
    "app.normandy.enabled": False,
    "app.update.disabledForTesting": True,
    "browser.aboutwelcome.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.homepage_override.mstone": "ignore",
    "browser.startup.page": 0,
    "datareporting.policy.dataSubmissionEnabled": False,
    "extensions.update.enabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "services.settings.server": "data:,#remote-settings-dummy/v1",
    "toolkit.telemetry.server": "",
}


class CommandError(Exception):
    """Firefox has answered a command with an error."""


class Firefox:
    """A running Firefox, in which each browser of a test is a container of its own."""

    def __init__(self, path: str, profile: Path, preferences: Mapping[str, Any] = {}) -> None:
        settings = {**PREFERENCES, **preferences}
        lines = [
            f"user_pref({json.dumps(name)}, {json.dumps(settings[name])});" for name in settings
        ]
        (profile / "user.js").write_text("\n".join(lines))
        command = [path, "--headless", "--no-remote", "--remote-debugging-port", "0"]
        self._log = (profile / "firefox.log").open("wb")
        self._process = subprocess.Popen(
            [*command, "--profile", str(profile)], stdout=self._log, stderr=self._log
        )
        self._sent = 0
        self.problems: list[str] = []
        """What the pages wrote to their consoles as an error."""
        self._socket = WebSocket()
        self._socket.settimeout(PATIENCE)
        try:
            self._socket.connect(
                f"ws://127.0.0.1:{self._port(profile)}/session", suppress_origin=True
            )
            self.send("session.new", capabilities={"alwaysMatch": {"acceptInsecureCerts": True}})
            self.send("session.subscribe", events=["log.entryAdded"])
        except BaseException:
            self.close()
            raise

    def _port(self, profile: Path) -> int:
        """Return where it listens, which it writes into its profile."""
        file = profile / "WebDriverBiDiServer.json"
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            assert self._process.poll() is None, "Firefox does not start"
            if file.exists() and (text := file.read_text()):
                port: int = json.loads(text)["ws_port"]
                return port
            time.sleep(0.05)
        raise AssertionError("Firefox does not listen")

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command and return its result.

        Raises:
            CommandError: Firefox refuses it, or cannot do it.
        """
        self._sent += 1
        self._socket.send(json.dumps({"id": self._sent, "method": method, "params": parameters}))
        while True:
            told = json.loads(self._socket.recv())
            if told.get("method") == "log.entryAdded" and told["params"]["level"] == "error":
                self.problems.append(str(told["params"]["text"]))
            if told.get("id") != self._sent:
                continue
            if told["type"] == "error":
                raise CommandError(f"{method}: {told['error']}: {told['message']}")
            result: dict[str, Any] = told["result"]
            return result

    def browser(self, site: str) -> FirefoxBrowser:
        """Make a browser on a site."""
        return FirefoxBrowser(self, site)

    def close(self) -> None:
        """End it."""
        end(self._process)
        self._socket.shutdown()
        self._log.close()


class FirefoxBrowser(Browser):
    """A container of a running Firefox, with cookies and storage of its own."""

    def __init__(self, firefox: Firefox, site: str) -> None:
        self.firefox = firefox
        self.site = site
        self._container = firefox.send("browser.createUserContext")["userContext"]

    def tab(self) -> Tab:
        made = self.firefox.send("browsingContext.create", type="tab", userContext=self._container)
        return FirefoxTab(self.firefox, made["context"], self.site)

    def cookies(self) -> dict[str, dict[str, Any]]:
        partition = {"type": "storageKey", "userContext": self._container}
        found = self.firefox.send("storage.getCookies", partition=partition)["cookies"]
        return {cookie["name"]: cookie for cookie in found}

    def close(self) -> None:
        self.firefox.send("browser.removeUserContext", userContext=self._container)


class FirefoxTab(Tab):
    """A tab of Firefox."""

    def __init__(self, firefox: Firefox, context: str, site: str) -> None:
        super().__init__(site)
        self._firefox = firefox
        self._context = context

    def _send(self, method: str, **parameters: Any) -> dict[str, Any]:
        return self._firefox.send(method, context=self._context, **parameters)

    def goto(self, url: str) -> None:
        self._send("browsingContext.navigate", url=url, wait="complete")

    def reload(self) -> None:
        self._send("browsingContext.reload", wait="complete")

    def back(self) -> None:
        self._send("browsingContext.traverseHistory", delta=-1)

    def evaluate(self, expression: str) -> Any:
        function = f"async () => JSON.stringify({{ value: await ({expression}) }})"
        try:
            answer = self._firefox.send(
                "script.callFunction",
                functionDeclaration=function,
                target={"context": self._context},
                awaitPromise=True,
            )
        except CommandError as error:
            raise ScriptError(str(error)) from error
        if answer["type"] == "exception":
            raise ScriptError(answer["exceptionDetails"]["text"])
        return json.loads(answer["result"]["value"]).get("value")

    def click(self, selector: str) -> None:
        place = self.evaluate(f"""(() => {{
            const element = document.querySelector({json.dumps(selector)});
            element.scrollIntoView({{ block: "center", behavior: "instant" }});
            const {{ x, y, width, height }} = element.getBoundingClientRect();
            return {{ x: Math.floor(x + width / 2), y: Math.floor(y + height / 2) }};
        }})()""")
        self._act(
            "pointer",
            [
                {"type": "pointerMove", **place},
                {"type": "pointerDown", "button": 0},
                {"type": "pointerUp", "button": 0},
            ],
        )

    def type(self, selector: str, text: str) -> None:
        self.evaluate(f"document.querySelector({json.dumps(selector)}).select()")
        kinds = ("keyDown", "keyUp")
        self._act("key", [{"type": kind, "value": letter} for letter in text for kind in kinds])

    def _act(self, device: str, actions: list[dict[str, Any]]) -> None:
        self._send(
            "input.performActions", actions=[{"type": device, "id": device, "actions": actions}]
        )

    def look(self) -> None:
        self._send("browsingContext.activate")

    def resize(self, width: int, height: int) -> None:
        self._send("browsingContext.setViewport", viewport={"width": width, "height": height})

    def screenshot(self, path: Path) -> None:
        taken = self._send("browsingContext.captureScreenshot", origin="document")
        path.write_bytes(base64.b64decode(taken["data"]))

"""WebKitGTK by its own driver and Selenium, on a display that nobody sees."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from selenium.common.exceptions import WebDriverException
from selenium.webdriver import Remote, WebKitGTKOptions
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.client_config import ClientConfig
from selenium.webdriver.remote.remote_connection import RemoteConnection
from selenium.webdriver.webkitgtk.service import Service
from urllib3.exceptions import HTTPError

from tests.browser.engines.driving import PATIENCE, Browser, ScriptError, Tab, end

EVALUATE = """
const done = arguments[arguments.length - 1];
(async () => ({ value: await (%s) }))().then(
    (answer) => done(JSON.stringify(answer)),
    (error) => done(JSON.stringify({ error: String(error) })),
);
"""


class Display:
    """A display for the windows, by Xvfb; its number is one that is free."""

    def __init__(self, path: str) -> None:
        reading, writing = os.pipe()
        self._process = subprocess.Popen(
            [path, "-displayfd", str(writing), "-screen", "0", "1600x1200x24", "-nolisten", "tcp"],
            pass_fds=[writing],
            stderr=subprocess.DEVNULL,
        )
        os.close(writing)
        with os.fdopen(reading) as pipe:
            self.name = f":{pipe.readline().strip()}"

    def close(self) -> None:
        end(self._process)


def start(path: str, display: Display) -> tuple[Service, Remote]:
    """Start a driver, and a browser by it.

    On a busy machine the browser sometimes ends while it starts, and the driver waits for it for ever. So
    it is tried again.
    """
    options = WebKitGTKOptions()
    options.set_capability("acceptInsecureCerts", True)
    for _ in range(3):
        service = Service(path, env={**os.environ, "DISPLAY": display.name})
        service.start()
        # Longer than a script may take, so that the driver tells of it.
        config = ClientConfig(service.service_url, timeout=PATIENCE + 10)
        try:
            return service, Remote(RemoteConnection(client_config=config), options=options)
        except HTTPError:
            service.stop()
    raise AssertionError("WebKitGTK does not start")


class WebKitBrowser(Browser):
    """A browser of WebKitGTK; a driver has only one, so each brings its own."""

    def __init__(self, driver: str, display: Display, site: str) -> None:
        self.site = site
        self._service, self._driver = start(driver, display)
        self._driver.set_script_timeout(PATIENCE)
        self._unused = [self._driver.current_window_handle]

    def tab(self) -> Tab:
        if self._unused:
            return WebKitTab(self._driver, self._unused.pop(), self.site)
        # A window of its own is seen; a new tab would stay behind the first one.
        self._driver.switch_to.new_window("window")
        return WebKitTab(self._driver, self._driver.current_window_handle, self.site)

    def cookies(self) -> dict[str, dict[str, Any]]:
        return {cookie["name"]: cookie for cookie in self._driver.get_cookies()}

    def close(self) -> None:
        self._driver.quit()
        self._service.stop()


class WebKitTab(Tab):
    """A tab of WebKitGTK. The driver speaks to one tab at a time, so each call says which."""

    def __init__(self, driver: Remote, handle: str, site: str) -> None:
        super().__init__(site)
        self._its_driver = driver
        self._handle = handle

    @property
    def _driver(self) -> Remote:
        self._its_driver.switch_to.window(self._handle)
        return self._its_driver

    def goto(self, url: str) -> None:
        self._driver.get(url)

    def reload(self) -> None:
        self._driver.refresh()

    def back(self) -> None:
        self._driver.back()

    def evaluate(self, expression: str) -> Any:
        try:
            answer = json.loads(self._driver.execute_async_script(EVALUATE % expression))
        except WebDriverException as error:
            raise ScriptError(str(error)) from error
        if "error" in answer:
            raise ScriptError(answer["error"])
        return answer.get("value")

    def click(self, selector: str) -> None:
        self._driver.find_element(By.CSS_SELECTOR, selector).click()

    def type(self, selector: str, text: str) -> None:
        element = self._driver.find_element(By.CSS_SELECTOR, selector)
        element.clear()
        element.send_keys(text)

    def look(self) -> None:
        """Do nothing: each tab is a window of its own, and seen."""

    def resize(self, width: int, height: int) -> None:
        self._driver.set_window_size(width, height)

    def screenshot(self, path: Path) -> None:
        self._driver.save_screenshot(str(path))

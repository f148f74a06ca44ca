"""Chromium without a window, as the tests drive it."""

from __future__ import annotations

import shutil
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.chrome.service import Service

#: Debian's names of the browser and of its driver.
BROWSER = shutil.which("chromium")
DRIVER = shutil.which("chromedriver")


def start(profile: Path, *, javascript: bool = True) -> webdriver.Chrome:
    """Start a browser whose profile is a folder of its own, and which talks to this host alone."""
    options = webdriver.ChromeOptions()
    options.binary_location = str(BROWSER)
    for argument in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--disable-dev-shm-usage",
        "--window-size=1100,800",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
        f"--user-data-dir={profile}",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    if not javascript:
        blocked = {"profile.managed_default_content_settings.javascript": 2}
        options.add_experimental_option("prefs", blocked)
    return webdriver.Chrome(options=options, service=Service(str(DRIVER)))

"""What a user does and sees in the shop's admin."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from selenium.common.exceptions import (
    NoSuchElementException,
    StaleElementReferenceException,
    WebDriverException,
)
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.select import Select

from .shop import Shop

SECONDS = 30

PAID = "shop/order/?status__exact=paid"


class Admin:
    """The admin in a browser."""

    def __init__(self, browser: Any, shop: Shop) -> None:
        self.browser = browser
        self.shop = shop

    def open(self, path: str) -> None:
        """Open a page of the admin."""
        self.browser.get(self.shop.url(path))

    def log_in(self) -> None:
        """Log in as the user of the demo, unless that is done."""
        self.open("")
        if self.browser.find_elements(By.ID, "id_password"):
            self.find("#id_username").send_keys(self.shop.user)
            self.leave(lambda: self.find("#id_password").send_keys(self.shop.password, Keys.ENTER))
            self.wait_for(lambda: self.find("#user-tools"))

    def find(self, selector: str) -> Any:
        """Return the first element that a CSS selector finds."""
        return self.browser.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector: str) -> list[Any]:
        """Return all elements that a CSS selector finds."""
        return list(self.browser.find_elements(By.CSS_SELECTOR, selector))

    def click(self, selector: str) -> None:
        """Click on something, as soon as it is there."""
        self.wait_for(lambda: (self.find(selector).click(),))

    def follow(self, selector: str) -> None:
        """Click on what leads to another page, and wait until the one before is gone."""
        self.leave(lambda: self.click(selector))

    def leave(self, act: Callable[[], None]) -> None:
        """Do what leads to another page, and wait until the one before is gone."""
        before = self.find("html")
        act()
        self.wait_for(lambda: _is_gone(before))

    def choose(self, name: str, value: str) -> None:
        """Choose a value in the select of a name."""
        selector = f"select[name='{name}']"
        self.wait_for(lambda: (Select(self.find(selector)).select_by_value(value),))

    def text(self, selector: str) -> str:
        """Return the text of the first element that a selector finds, as soon as it is there."""
        (text,) = self.wait_for(lambda: (self.find(selector).text,))
        return str(text)

    def numbers(self) -> list[str]:
        """Return how many rows succeeded, failed, are missing and are not completed."""
        return [cell.text for cell in self.all("[data-number]")]

    def bar(self) -> tuple[float, float]:
        """Return how far the bar is, and how far it goes."""
        bar = self.find("progress")
        return float(bar.get_property("value")), float(bar.get_property("max"))

    def wait_for(self, happened: Callable[[], Any]) -> Any:
        """Return the first true answer; pages may change meanwhile."""
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            try:
                if answer := happened():
                    return answer
            except (NoSuchElementException, StaleElementReferenceException):
                pass
            time.sleep(0.05)
        page = self.browser.find_element(By.TAG_NAME, "body").text
        raise AssertionError(f"Waited in vain at {self.browser.current_url}:\n{page}")

    def wait_for_the_end(self) -> None:
        """Wait until all rows are completed, as far as the page says."""
        self.wait_for(lambda: "(100 %)" in self.text("#model-task-status"))

    def press(self, *keys: str) -> None:
        """Press keys, wherever the focus is."""
        for key in keys:
            self.browser.switch_to.active_element.send_keys(key)

    def tab_to(self, selector: str, *, back: bool = False) -> Any:
        """Press the tabulator until something has the focus, and return it."""
        script = "const at = document.activeElement; return [at, at.matches(arguments[0])]"
        for _ in range(200):
            element, is_there = self.browser.execute_script(script, selector)
            if is_there:
                return element
            element.send_keys(*[Keys.SHIFT] * back, Keys.TAB)
        raise AssertionError(f"The tabulator does not lead to {selector}.")

    def theme(self, name: str) -> None:
        """Let the admin have its light or its dark theme."""
        self.browser.execute_script("localStorage.setItem('theme', arguments[0])", name)
        self.browser.refresh()

    def contrasts(self, selector: str) -> dict[str, float]:
        """Return how far each text within an element stands out from what is behind it.

        By the formula of the Web Content Accessibility Guidelines, from 1 to 21.
        """
        found: dict[str, float] = self.browser.execute_script(_CONTRASTS, selector)
        return found


def _is_gone(element: Any) -> bool:
    try:
        element.is_enabled()
    except WebDriverException:  # stale, or an error of the driver's own in mid-change
        return True
    return False


_CONTRASTS = """
const numbers = (color) => color.match(/[\\d.]+/g).map(Number);
const light = (color) => {
    const [r, g, b] = numbers(color).slice(0, 3).map((part) => {
        const value = part / 255;
        return value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const behind = (element) => {
    const color = getComputedStyle(element).backgroundColor;
    const [, , , alpha = 1] = numbers(color);
    return alpha > 0 || !element.parentElement ? color : behind(element.parentElement);
};
const found = {};
const texts = document.createTreeWalker(
    document.querySelector(arguments[0]), NodeFilter.SHOW_TEXT
);
while (texts.nextNode()) {
    const text = texts.currentNode.textContent.trim();
    const element = texts.currentNode.parentElement;
    if (text && element.checkVisibility()) {
        const one = light(getComputedStyle(element).color);
        const other = light(behind(element));
        found[text] = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    }
}
return found;
"""

"""The admin as its users have it: in a browser, with a worker, on PostgreSQL and Redis."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver.common.keys import Keys

from .admin import PAID, Admin
from .shop import Shop

#: The paid orders without a street, the newest first, as the list and so the run has them.
NOWHERE = [f"2026-{number:04}" for number in (490, 420, 350, 280, 210)]


def ship_all(admin: Admin) -> None:
    """Select the three hundred paid orders and ship them with DHL."""
    admin.open(PAID)
    admin.click("#action-toggle")
    admin.click(".actions .question a")
    assert "300 selected" in admin.text(".actions .all")
    admin.choose("action", "ship")
    admin.follow(".actions button[name=index]")
    assert "300 orders" in admin.text("#model-task-form")
    admin.choose("argument-carrier", "dhl")
    admin.follow("#model-task-form [type=submit]")


def test_three_hundred_orders_are_shipped(admin: Admin, screenshot: Callable[[str], None]) -> None:
    ship_all(admin)

    seen = [admin.wait_for(lambda: admin.bar()[0] > 0 and admin.bar())]
    link = admin.wait_for(lambda: admin.find("[data-failures] th a"))
    admin.wait_for(lambda: admin.bar()[0] >= 100)
    screenshot("admin")
    admin.browser.execute_script("arguments[0].focus()", link)
    assert admin.bar()[0] < 300, "the run was over too soon to tell"
    while seen[-1][0] < 300:
        seen.append(admin.wait_for(lambda: admin.bar()[0] > seen[-1][0] and admin.bar()))
    admin.wait_for_the_end()

    assert len(seen) > 2, "the bar did not move"
    assert {most for _, most in seen} == {300}
    assert admin.text("#model-task-status") == "300 of 300 completed (100 %)"
    announced = admin.find("[data-announced]").get_property("textContent")
    assert announced == "300 of 300 completed (100 %)"
    assert admin.numbers() == ["295", "5", "0", "0"]
    links = admin.all("[data-failures] th a")
    assert [link.text for link in links] == [f"order {number}" for number in NOWHERE]
    # It was there before the others, and nothing took the focus from it.
    assert admin.browser.switch_to.active_element == link

    admin.browser.refresh()

    assert admin.text("#model-task-status") == "300 of 300 completed (100 %)"
    assert admin.numbers() == ["295", "5", "0", "0"]
    assert "is unavailable" not in admin.text("#content")
    assert admin.all("[data-reload]") == []

    admin.follow("[data-failures] th a")

    assert admin.find("#id_number").get_property("value") == NOWHERE[0]
    assert admin.find("#id_street").get_property("value") == ""
    (row,) = admin.all(".model-task-runs tbody tr")
    assert row.text.endswith(f"Ship FAILURE ValueError: order {NOWHERE[0]} has no street")


SUBMIT = """
const form = document.querySelector(arguments[0]);
form.addEventListener("submit", (event) => event.preventDefault());
form.querySelector("[type=submit]").click();
return form.querySelector("[type=submit]").disabled;
"""


def test_a_second_click_sends_nothing_more(admin: Admin) -> None:
    admin.open(PAID)
    admin.click(".action-select")
    admin.choose("action", "ship")
    admin.follow(".actions button[name=index]")

    assert admin.browser.execute_script(SUBMIT, "#model-task-form")

    admin.open(f"{PAID}&q=2026-0300")
    admin.follow("#result_list tbody th a")

    assert admin.browser.execute_script(SUBMIT, ".model-task-buttons form")


def test_the_keyboard_is_enough(admin: Admin) -> None:
    admin.open(PAID)
    admin.tab_to("#action-toggle")
    admin.press(Keys.SPACE)
    admin.tab_to("select[name=action]", back=True)
    admin.press("Ship")
    admin.tab_to(".actions button[name=index]")
    admin.leave(lambda: admin.press(Keys.ENTER))
    admin.wait_for(lambda: admin.find("#model-task-form"))
    focused = admin.browser.switch_to.active_element
    assert focused.get_attribute("name") == "argument-carrier"  # where one begins
    admin.press("dhl")
    button = admin.tab_to("#model-task-form [type=submit]")
    assert button.value_of_css_property("outline-style") != "none"
    admin.leave(lambda: admin.press(Keys.ENTER))
    admin.wait_for(lambda: admin.find("progress"))
    admin.wait_for_the_end()

    assert admin.numbers() == ["98", "2", "0", "0"]  # the hundred that the list has on a page
    admin.tab_to("[data-failures] a")
    admin.leave(lambda: admin.press(Keys.ENTER))
    admin.wait_for(lambda: admin.find("#id_number"))
    admin.tab_to(".model-task-buttons a.button")
    admin.leave(lambda: admin.press(Keys.ENTER))
    admin.wait_for(lambda: admin.find("#model-task-form"))


@pytest.mark.parametrize(
    ("theme", "background"), [("light", "255, 255, 255"), ("dark", "18, 18, 18")]
)
def test_all_is_readable_in_both_themes(
    theme: str, background: str, admin: Admin, screenshot: Callable[[str], None]
) -> None:
    admin.theme(theme)
    admin.open(PAID)
    for box in admin.all(".action-select")[10:12]:  # one of them cannot be shipped
        box.click()
    admin.choose("action", "ship")
    admin.follow(".actions button[name=index]")
    contrasts = {f"ask: {text}": ratio for text, ratio in admin.contrasts("#content").items()}
    admin.choose("argument-carrier", "ups")
    admin.follow("#model-task-form [type=submit]")
    admin.wait_for_the_end()
    body = admin.find("body").value_of_css_property("background-color")
    assert background in body
    contrasts |= {f"run: {text}": ratio for text, ratio in admin.contrasts("#content").items()}
    screenshot(f"run-{theme}")
    admin.follow("[data-failures] a")
    contrasts |= {
        f"panel: {text}": ratio for text, ratio in admin.contrasts(".model-task-panel").items()
    }
    admin.browser.execute_script("arguments[0].scrollIntoView()", admin.find(".model-task-panel"))
    screenshot(f"panel-{theme}")

    # 4.5 is what the guidelines ask for; the admin's own quiet text has a little less.
    assert {text: ratio for text, ratio in contrasts.items() if ratio < 4.5} == {}
    assert any(text.startswith("panel: FAILURE") for text in contrasts)


def test_a_button_of_an_object_runs_its_method(admin: Admin) -> None:
    admin.open(f"{PAID}&q=2026-0300")
    admin.follow("#result_list tbody th a")
    admin.follow(".model-task-buttons form button")
    admin.wait_for_the_end()

    assert admin.text("#content h2") == "1 order"
    admin.browser.back()
    admin.browser.refresh()
    assert admin.text(".model-task-runs tbody tr").endswith("Print address labels SUCCESS")


def test_a_question_is_asked(admin: Admin) -> None:
    admin.open(f"{PAID}&q=2026-0301")
    admin.click("#action-toggle")
    admin.choose("action", "pack")
    admin.follow(".actions button[name=index]")
    assert "Pack each order into a separate parcel?" in admin.text("#content")

    admin.follow("#model-task-form .closelink")

    assert "status__exact=paid" in admin.browser.current_url
    assert "2026-0301" in admin.text("#result_list")  # still paid


def test_without_javascript(start_browser: Callable[..., Any], shop: Shop, paid: None) -> None:
    browser = start_browser(javascript=False)
    admin = Admin(browser, shop)
    admin.log_in()
    admin.open(PAID)
    for box in admin.all(".action-select")[:30]:
        box.click()
    admin.choose("action", "ship")
    admin.follow(".actions button[name=index]")
    admin.choose("argument-carrier", "gls")
    admin.follow("#model-task-form [type=submit]")
    assert admin.text("[data-reload]") == "Reload"

    admin.wait_for_the_end()  # by the page's own refreshing

    assert admin.text("[data-number=failed]") == "1"
    admin.follow("[data-failures] a")
    assert admin.find("#id_number").get_property("value") == NOWHERE[0]


def test_a_run_is_found_again_when_all_was_restarted(
    database: str, browser: Any, admin: Admin, tmp_path: Path
) -> None:
    admin.open(f"{PAID}&q={NOWHERE[0]}")
    admin.click("#action-toggle")
    admin.choose("action", "label")
    admin.follow(".actions button[name=index]")
    admin.wait_for_the_end()
    path = browser.current_url.partition("/admin/")[2]

    with Shop(tmp_path, database) as another:
        again = Admin(browser, another)
        again.log_in()
        again.open(path)

        assert again.text("#model-task-status") == "1 of 1 completed (100 %)"
        assert again.numbers() == ["0", "1", "0", "0"]
        assert again.text("[data-failures] th a") == f"order {NOWHERE[0]}"

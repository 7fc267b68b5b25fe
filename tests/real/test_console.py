"""The screen in a browser, as a person has it: the link of ``openstack console url show``, pixels, keys, and what the page says."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.real.orders import Api
from wolke.lab import images, wait_for
from wolke.lab.furnish import administrator

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]
BOOT = 240  # seconds; two cores, no KVM
# The guest's user may not write to the serial console: this passes on what he leaves.
PASS_ON = """#!/bin/sh
while sleep 0.3; do
    [ ! -e /tmp/typed ] || { cat /tmp/typed > /dev/console; rm /tmp/typed; }
done &
"""
CHROMIUM = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1024,860",
            "--no-proxy-server")  # fmt: skip

PASSWORD = "open-sesame"
SHIFTED = "$()*>"


@pytest.fixture(scope="module")
def image(lab, openstack) -> Iterator[str]:
    openstack("image", "create", "screen", "--disk-format", "qcow2", "--file", str(images.built()))
    yield "screen"
    openstack("image", "delete", "screen")


@pytest.fixture(scope="module")
def server(lab, openstack, image, tmp_path_factory) -> Iterator[str]:
    data = tmp_path_factory.mktemp("screen") / "data"
    data.write_text(PASS_ON)
    openstack("flavor", "create", "screen", "--ram", "256", "--disk", "1", "--vcpus", "1")
    made = ["--image", image, "--flavor", "screen", "--config-drive", "true", "--user-data", str(data)]
    made += ["--password", PASSWORD]
    openstack("--os-compute-api-version", "2.37", "server", "create", "screen", *made, "--nic", "none")
    yield "screen"
    openstack("server", "delete", "--wait", "screen")
    openstack("flavor", "delete", "screen")


@dataclass
class Guest:
    """What the cloud says of the server whose screen is looked at."""

    api: Api
    id: str

    def becomes_active(self) -> None:
        assert wait_for(lambda: self.api.status(self.id) == "ACTIVE", BOOT, every=0.5)

    def log(self) -> str:
        return str(self.api.act(self.id, "os-getConsoleOutput").json()["output"])


@pytest.fixture(scope="module")
def guest(lab, server) -> Guest:
    api = Api(administrator(lab).client)
    [found] = api.list("server", name=server)
    return Guest(api, found["id"])


@dataclass
class Browser:
    driver: Any

    def open(self, url: str) -> None:
        self.driver.get(url)

    def state(self) -> str:
        """connecting, connected or ended."""
        return str(self.driver.execute_script("return document.documentElement.className"))

    def text(self, id: str) -> str:
        return str(self.driver.find_element(By.ID, id).text)

    def becomes(self, state: str, seconds: float = 60) -> None:
        said = self.driver.get_log("browser") if not wait_for(lambda: self.state() == state, seconds, every=0.2) else ""
        assert self.state() == state, f"{self.text('state')}: {self.text('message')} {said}"

    def rows(self) -> int:
        """How many rows of the screen's pixels have something on them; a line of text is at least eight."""
        script = """
            const canvas = document.querySelector("#screen canvas");
            if (!canvas || !canvas.width) return 0;
            const wide = canvas.width, bytes = canvas.getContext("2d").getImageData(0, 0, wide, canvas.height).data;
            const rows = new Set();
            for (let at = 0; at < bytes.length; at += 4)
                if (bytes[at] + bytes[at + 1] + bytes[at + 2] > 120) rows.add(Math.floor(at / 4 / wide));
            return rows.size;"""
        return int(self.driver.execute_script(script))

    def type(self, line: str) -> None:
        """One key after the other, as the guest's keyboard takes them; until the next line has come."""
        before = self.rows()
        for key in [*line, Keys.ENTER]:
            keys = ActionChains(self.driver)
            if key in SHIFTED:
                keys = keys.key_down(Keys.SHIFT).send_keys(key).key_up(Keys.SHIFT)
            else:
                keys = keys.send_keys(key)
            keys.pause(0.05).perform()
        assert wait_for(lambda: self.rows() >= before + 6, 60, every=0.3), "the screen shows no answer"

    def picture(self, path: Path) -> None:
        self.driver.save_screenshot(str(path))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not shutil.which("chromedriver"):
        pytest.fail("chromium-driver is not installed: ./run test does it")
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for word in CHROMIUM:
        options.add_argument(word)
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    yield Browser(driver)
    driver.quit()


@pytest.fixture
def url(openstack, server, guest) -> str:
    guest.becomes_active()
    assert wait_for(lambda: "tiny: ready" in guest.log(), BOOT, every=0.5)
    return str(openstack("console", "url", "show", "--novnc", server)["url"])


def test_a_person_logs_in_on_the_screen(guest, browser, url, tmp_path):
    browser.open(url)
    browser.becomes("connected")
    assert browser.driver.title == "screen - console"
    assert (browser.text("name"), browser.text("state")) == ("screen", "Connected")
    assert browser.driver.find_element(By.ID, "keys").is_enabled() and not browser.text("message")
    assert wait_for(lambda: browser.rows() > 20, 30, every=0.3), "the screen is black"
    for line in ("tiny", PASSWORD, "echo by hand $((6*7)) >/tmp/typed"):
        browser.type(line)
    seen = wait_for(lambda: "by hand 42" in guest.log(), 30, every=0.5)
    browser.picture(tmp_path / "screen.png")
    assert seen, f"the guest did not take the keys; see {tmp_path / 'screen.png'}"
    wrong = [entry for entry in browser.driver.get_log("browser") if entry["level"] == "SEVERE"]
    assert not wrong, wrong


def test_a_forged_link_says_what_to_do(browser, url):
    browser.open(url[:-1])
    browser.becomes("ended")
    assert browser.text("state") == "Not connected"
    assert "expired" in browser.text("what") and "openstack console url show" in browser.text("what")


def test_a_server_that_goes_off_says_so_and_its_link_connects_again(openstack, server, guest, browser, url, tmp_path):
    browser.open(url)
    browser.becomes("connected")
    openstack("server", "stop", server)
    browser.becomes("ended", BOOT)
    browser.picture(tmp_path / "off.png")
    assert "is off" in browser.text("what")
    openstack("server", "start", server)
    guest.becomes_active()
    browser.driver.find_element(By.ID, "again").click()
    browser.becomes("connected")


def test_ctrl_alt_del_restarts_the_guest(guest, browser, url):
    starts = guest.log().count("tiny: ready")
    browser.open(url)
    browser.becomes("connected")
    browser.driver.find_element(By.ID, "keys").click()
    assert wait_for(lambda: guest.log().count("tiny: ready") > starts, BOOT, every=1)

"""The report in a real browser, at two widths and in both colour schemes.

Headless Chromium over its DevTools protocol, no network.
"""

from __future__ import annotations

import base64
import itertools
import json
import os
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from synthetic_run import finished_run

from selene_lib.report import build_report

pytestmark = pytest.mark.slow


websocket = pytest.importorskip("websocket", reason="the package websocket-client is not installed")
WIDTHS = (390, 1280)


def find_chromium() -> str | None:
    """Return a Chromium: `SELENE_CHROMIUM`, or one of the usual names on the path."""
    given = os.environ.get("SELENE_CHROMIUM")
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
    return given or next((path for name in names if (path := shutil.which(name))), None)


class Browser:
    """One headless tab; keeps what the console said and what was asked of the network.

    Of the page and of the frames in it.
    """

    def __init__(self, folder: Path) -> None:
        command = [
            find_chromium() or "",
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--remote-debugging-port=0",
            "--no-first-run",
            "--disable-background-networking",
            f"--user-data-dir={folder}",
            "about:blank",
        ]
        self.process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self.ids, self.said, self.asked, self.frames = itertools.count(1), [], [], []
        self.socket = websocket.create_connection(
            self._address(folder), suppress_origin=True, timeout=30
        )
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.call(
            "Target.setAutoAttach", autoAttach=True, waitForDebuggerOnStart=False, flatten=True
        )

    def _address(self, folder: Path) -> str:
        port_file, deadline = folder / "DevToolsActivePort", time.monotonic() + 30
        while not (port_file.is_file() and port_file.read_text().count("\n")):
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise RuntimeError("Chromium did not open its DevTools port")
            time.sleep(0.05)
        port = port_file.read_text().split()[0]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=30) as answer:
            return next(t["webSocketDebuggerUrl"] for t in json.load(answer) if t["type"] == "page")

    def call(self, method: str, *, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        number = next(self.ids)
        self.socket.send(
            json.dumps(
                {"id": number, "method": method, "params": parameters}
                | ({"sessionId": session} if session else {})
            )
        )
        while (message := json.loads(self.socket.recv())).get("id") != number:
            self._note(message)
        if "error" in message:
            raise RuntimeError(f"{method}: {message['error']}")
        return message["result"]

    def _note(self, message: dict[str, Any]) -> None:
        method, told = message.get("method"), message.get("params", {})
        if method in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded"):
            self.said.append(json.dumps(told)[:500])
        elif method == "Network.requestWillBeSent":
            self.asked.append(told["request"]["url"])
        elif method == "Target.attachedToTarget":
            self.frames.append(told["sessionId"])

    def open(self, path: Path, width: int, scheme: str = "light") -> float:
        """Open a file at that width; return the seconds until its load event."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=900,
            deviceScaleFactor=1,
            mobile=False,
        )
        self.call(
            "Emulation.setEmulatedMedia",
            features=[{"name": "prefers-color-scheme", "value": scheme}],
        )
        self.frames.clear()
        self.call("Page.navigate", url="about:blank")
        self.call("Page.navigate", url=path.resolve().as_uri())
        self.wait("document.readyState === 'complete' && location.protocol === 'file:'")
        return self.run("performance.getEntriesByType('navigation')[0].loadEventStart") / 1000

    def run(self, script: str, *, session: str | None = None) -> Any:
        answer = self.call(
            "Runtime.evaluate",
            session=session,
            expression=script,
            returnByValue=True,
            awaitPromise=True,
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait(self, script: str, *, session: str | None = None, seconds: float = 20) -> None:
        deadline = time.monotonic() + seconds
        while not self.run(script, session=session):
            assert time.monotonic() < deadline, f"still not true: {script}"
            time.sleep(0.05)

    def picture(self, path: Path) -> Path:
        shot = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=False)
        path.write_bytes(base64.b64decode(shot["data"]))
        return path

    def close(self) -> None:
        self.socket.close()
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if find_chromium() is None:
        pytest.skip(
            "no Chromium here: install one (Debian: apt-get install chromium) "
            "or set SELENE_CHROMIUM to its path"
        )
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = finished_run(tmp_path_factory.getbasetemp() / "finished")
    return build_report(
        run,
        run.parent / "figures",
        tmp_path_factory.mktemp("page") / "report.html",
        show_texts=True,
    )


@pytest.fixture
def opened(browser: Browser, page: Path) -> Browser:
    browser.said.clear()
    browser.asked.clear()
    browser.open(page, 1280)
    return browser


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_opens_without_a_word_in_the_console_and_without_network(
    browser: Browser, page: Path, tmp_path: Path, width: int, scheme: str
) -> None:
    browser.said.clear()
    browser.asked.clear()
    seconds = browser.open(page, width, scheme)
    megabytes = page.stat().st_size / 1e6
    print(f"\nreport: {megabytes:.2f} MB, loaded in {seconds:.2f} s at {width} px ({scheme})")
    assert browser.said == []
    assert [url for url in browser.asked if not url.startswith(("file:", "data:", "about:"))] == []
    assert browser.run("document.documentElement.scrollWidth") <= width, (
        "the page must not scroll sideways"
    )
    assert browser.run("window.broken === undefined"), "a reply ran as a script"
    assert browser.run("[...document.images].every((i) => i.complete && i.naturalWidth > 0)")
    assert browser.picture(tmp_path / "page.png").stat().st_size > 10_000


def test_wide_content_scrolls_inside_its_box(browser: Browser, page: Path) -> None:
    browser.open(page, 390)
    browser.run("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    assert browser.run("document.documentElement.scrollWidth") <= 390
    table = "document.querySelector('.scroll')"
    assert browser.run(f"{table}.scrollWidth > {table}.clientWidth")


def choose(browser: Browser, table: str, field: str, value: str) -> None:
    """Set a filter or the search field of a table's controls, as a user does."""
    script = (
        "const f = document.querySelector('[data-for=%s] [data-%s]'); "
        "f.value = %s; f.dispatchEvent(new Event('%s'))"
    )
    browser.run(
        "{"
        + script % (table, field, json.dumps(value), "input" if field == "search" else "change")
        + "}"
    )


SHOWN = "[...document.querySelectorAll('#%s [data-row]')].filter((r) => !r.hidden).map((r) => %s)"


def test_filters_and_search_show_what_they_say(opened: Browser) -> None:
    total = opened.run("document.querySelectorAll('#items [data-row]').length")
    assert (
        opened.run("document.querySelector('[data-for=items] output').value")
        == f"{total} of {total} shown"
    )
    choose(opened, "items", "filter=set", "nano-pairs")
    shown = opened.run(SHOWN % ("items", "r.dataset.set"))
    assert 0 < len(shown) < total and set(shown) == {"nano-pairs"}
    choose(opened, "items", "search", "no such words")
    assert (
        opened.run("document.querySelector('[data-for=items] output').value")
        == f"0 of {total} shown"
    )
    choose(opened, "claims-table", "search", "AUTO_J pairwise")
    assert opened.run(SHOWN % ("claims-table", "r.cells[0].textContent")) == ["auto_j"]


def test_open_all_opens_only_what_is_shown(opened: Browser) -> None:
    choose(opened, "items", "filter=task", "absolute")
    opened.run("document.querySelector('[data-toggle=open]').click()")
    tasks = opened.run(
        "[...document.querySelectorAll('#items details[open]')].map((d) => d.dataset.task)"
    )
    assert tasks and set(tasks) == {"absolute"}
    opened.run("document.querySelector('[data-toggle=close]').click()")
    assert opened.run("document.querySelectorAll('#items details[open]').length") == 0


def test_every_internal_link_leads_somewhere_and_opens_what_is_closed(opened: Browser) -> None:
    links = "[...document.querySelectorAll('a[href^=\"#\"]')]"
    dead = f"{links}.filter((a) => !document.getElementById(a.hash.slice(1))).length"
    assert opened.run(dead) == 0
    opened.run("location.hash = '#table-audit'")
    opened.wait("document.getElementById('table-audit').open")
    opened.wait("document.getElementById('table-audit').getBoundingClientRect().top < innerHeight")


def test_the_keyboard_reaches_skip_link_filters_tables_and_items(opened: Browser) -> None:
    seen = []
    for _ in range(60):
        for kind in ("keyDown", "keyUp"):
            opened.call(
                "Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9
            )
        seen.append(
            opened.run("document.activeElement.className || document.activeElement.tagName")
        )
    assert seen[0] == "skip" and {"SELECT", "INPUT", "scroll", "A"} <= set(seen)


def test_the_map_runs_inside_its_frame(opened: Browser) -> None:
    opened.run("document.querySelector('.mapbox').open = true")
    opened.run("document.querySelector('iframe').scrollIntoView()")
    deadline = time.monotonic() + 20
    while not opened.frames and time.monotonic() < deadline:
        opened.run("new Promise((done) => setTimeout(done, 100))")
    frame = opened.frames[-1]
    opened.call("Runtime.enable", session=frame)  # tells what was said in the frame before, too
    opened.wait(
        "document.body && document.body.textContent.includes('map \"drawn\"')", session=frame
    )
    assert opened.said == []


def test_text_has_contrast_in_both_schemes(browser: Browser, page: Path) -> None:
    script = """(() => {
      const linear = (v) => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
      const rgb = (c) => c.match(/[\\d.]+/g).slice(0, 3).map((v) => linear(v / 255));
      const light = (c) => { const [r, g, b] = rgb(c); return .2126 * r + .7152 * g + .0722 * b; };
      const ratio = (a, b) => {
        const [x, y] = [light(a), light(b)].sort((p, q) => q - p);
        return (x + .05) / (y + .05);
      };
      const paper = getComputedStyle(document.body).backgroundColor;
      const kinds = ['body', '.quiet', 'main a', '.right', '.wrong', '.known.unverified'];
      const colour = (s) => getComputedStyle(document.querySelector(s)).color;
      return Object.fromEntries(kinds.map((s) => [s, ratio(colour(s), paper)]));
    })()"""
    for scheme in ("light", "dark"):
        browser.open(page, 1280, scheme)
        low = {name: round(value, 2) for name, value in browser.run(script).items() if value < 4.5}
        assert low == {}, f"contrast below 4.5 in the {scheme} scheme"

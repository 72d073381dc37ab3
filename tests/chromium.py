"""A headless Chromium over its DevTools protocol, for tests that look at pages; no network."""

from __future__ import annotations

import base64
import itertools
import json
import os
import re
import shutil
import subprocess
import time
import urllib.request
import zlib
from pathlib import Path
from typing import Any

import websocket


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

    def picture(self, path: Path, *, whole: bool = False) -> Path:
        """Save what is seen, or the whole page, as PNG."""
        shot = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(shot["data"]))
        return path

    def printed(self, path: Path) -> list[int]:
        """Print the page to a PDF; return how many runs of text and pictures each sheet holds."""
        answer = self.call(
            "Page.printToPDF", printBackground=True, paperWidth=8.27, paperHeight=11.7
        )
        path.write_bytes(base64.b64decode(answer["data"]))
        return marks_by_sheet(path.read_bytes())

    def close(self) -> None:
        self.socket.close()
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def marks_by_sheet(pdf: bytes) -> list[int]:
    """Count what is drawn on each sheet of a PDF by Chromium: strings of text and pictures."""
    objects = dict(re.findall(rb"(?m)^(\d+) 0 obj\s(.*?)\sendobj", pdf, re.DOTALL))
    sheets = [o for o in objects.values() if re.search(rb"/Type\s*/Page\b", o)]
    contents = [re.search(rb"/Contents (\d+) 0 R", sheet) for sheet in sheets]
    return [_marks(objects[found[1]]) for found in contents if found]


def _marks(stream: bytes) -> int:
    data = stream.split(b"stream", 1)[1].strip(b"\r\n")
    text = zlib.decompressobj().decompress(data)
    return len(re.findall(rb"\b(?:Tj|TJ|Do)\b", text))

"""The built documentation in a real browser: two widths, both colour schemes, and on paper.

Headless Chromium opens the pages that `make docs` built, without a network. `make test-docs` builds
them first; elsewhere this is skipped where they are not there or older than their sources.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from chromium import Browser, find_chromium
from conftest import REPOSITORY

pytestmark = pytest.mark.long


SOURCES = sorted((REPOSITORY / "docs").glob("*.md"))
BUILT = REPOSITORY / "docs" / "_build"
REFERENCE = ("_api/commands.html", "_api/selene_lib.judge.html")
PAGES = [*(f"{path.stem}.html" for path in SOURCES), *REFERENCE]
WIDTHS = (390, 1280)
PAPER = 718  # CSS pixels between the margins of an A4 page

# What reaches beyond the right edge of screen or paper and cannot be scrolled into view: its tag
# and the beginning of its text.
CUT = """(() => {
  const article = document.querySelector('article');
  const edge = document.documentElement.clientWidth + 1;
  const scrolls = (e) => {
    for (let up = e; up && up !== document.body; up = up.parentElement) {
      const way = getComputedStyle(up).overflowX;
      if (way === 'auto' || way === 'scroll') return %s;
    }
    return false;
  };
  const shown = (e) => e.getClientRects().length && getComputedStyle(e).visibility !== 'hidden';
  return [...article.querySelectorAll('*')]
    .filter((e) => shown(e) && e.getBoundingClientRect().right > edge && !scrolls(e))
    .filter((e) => !e.closest('.headerlink, .copybtn, svg'))
    .map((e) => `${e.tagName} ${e.textContent.trim().slice(0, 60)}`);
})()"""

CONTRAST = """(() => {
  const linear = (v) => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
  const parts = (c) => c.match(/[\\d.]+/g).map(Number);
  const light = (c) => { const [r, g, b] = parts(c).slice(0, 3).map((v) => linear(v / 255));
    return .2126 * r + .7152 * g + .0722 * b; };
  const paper = (e) => { for (; e; e = e.parentElement) {
    const c = getComputedStyle(e).backgroundColor;
    const p = parts(c); if (p.length < 4 || p[3] > .99) return c; } return 'rgb(255, 255, 255)'; };
  const ratio = (e) => { const [x, y] = [getComputedStyle(e).color, paper(e)].map(light)
    .sort((p, q) => q - p); return (x + .05) / (y + .05); };
  const low = {};
  for (const kind of ['p', 'li', 'td', 'th', 'a.reference', 'code', 'h1', 'h2', 'pre'])
    for (const e of document.querySelectorAll(`article ${kind}`))
      if (e.getClientRects().length && ratio(e) < 4.5)
        low[kind] = `${ratio(e).toFixed(2)} ${e.textContent.slice(0, 40)}`;
  return low;
})()"""


@pytest.fixture(scope="module")
def built() -> Path:
    index = BUILT / "index.html"
    if not index.is_file():
        pytest.skip("the documentation is not built here: make docs")
    if any(path.stat().st_mtime > index.stat().st_mtime for path in SOURCES):
        pytest.skip("the documentation was built from older pages: make docs")
    return BUILT


@pytest.fixture(scope="module")
def tab(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if find_chromium() is None:
        pytest.skip("no Chromium here: install one, or set SELENE_CHROMIUM to its path")
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_are_whole_quiet_and_readable(
    tab: Browser, built: Path, width: int, scheme: str
) -> None:
    wrong: dict[str, object] = {}
    for name in PAGES:
        tab.said.clear()
        tab.asked.clear()
        tab.open(built / name, width, scheme)
        asked = [url for url in tab.asked if not url.startswith(("file:", "data:", "about:"))]
        found = {
            "console": list(tab.said),
            "network": asked,
            "wider than the screen": tab.run("document.documentElement.scrollWidth") > width,
            "cut": tab.run(CUT % "true"),
            "no picture": tab.run(
                "[...document.images].filter((i) => !i.naturalWidth).map((i) => i.src)"
            ),
            "contrast": tab.run(CONTRAST),
        }
        wrong |= {f"{name}: {what}": value for what, value in found.items() if value}
    assert wrong == {}


def test_the_dark_scheme_is_dark(tab: Browser, built: Path) -> None:
    colour = "getComputedStyle(document.body).backgroundColor"
    tab.open(built / "index.html", 1280, "light")
    light = tab.run(colour)
    tab.open(built / "index.html", 1280, "dark")
    dark = tab.run(colour)

    def brightness(text: str) -> int:
        return sum(map(int, re.findall(r"\d+", text)[:3]))

    assert brightness(light) > 600 and brightness(dark) < 150


def test_nothing_is_cut_on_paper(tab: Browser, built: Path) -> None:
    """On paper nothing scrolls, so what is wider than the page is lost."""
    wrong = {}
    for name in PAGES:
        tab.open(built / name, PAPER)
        tab.call("Emulation.setEmulatedMedia", media="print")
        cut = tab.run(CUT % "false")
        if cut:
            wrong[name] = cut
    tab.call("Emulation.setEmulatedMedia", media="")
    assert wrong == {}


def test_a_page_prints(tab: Browser, built: Path) -> None:
    tab.open(built / "howto_models.html", 1280)
    printed = base64.b64decode(
        tab.call("Page.printToPDF", paperWidth=8.27, paperHeight=11.7)["data"]
    )
    n_pages = len(re.findall(rb"/Type\s*/Page\b", printed))
    assert printed.startswith(b"%PDF") and 1 <= n_pages <= 6


def test_a_command_on_a_page_can_be_found_by_search_words(built: Path) -> None:
    """The search of the built pages works from a file, too: its index is a script."""
    index = (built / "searchindex.js").read_text(encoding="utf-8")
    assert all(name in index for name in ("tutorial", "troubleshooting", "howto_models"))

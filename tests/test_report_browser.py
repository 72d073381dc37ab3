"""The report in a real browser: at two widths, in both colour schemes and on paper, no network.

The documentation is opened the same way in `test_docs_browser.py`.
"""

from __future__ import annotations

import base64
import csv
import gzip
import io
import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from synthetic_run import finished_run, write_run
from synthetic_scores import write_evaluation

from selene_lib.figures import results as files
from selene_lib.report import build_comparison, build_report

pytestmark = pytest.mark.long

pytest.importorskip("websocket", reason="the package websocket-client is not installed")

from chromium import Browser, find_chromium  # noqa: E402

WIDTHS = (390, 1280)


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


def open_quietly(browser: Browser, path: Path, width: int, scheme: str) -> None:
    """Open a page and hold it to what every page of ours keeps."""
    browser.said.clear()
    browser.asked.clear()
    browser.open(path, width, scheme)
    assert browser.said == []
    assert [url for url in browser.asked if not url.startswith(("file:", "data:", "about:"))] == []
    wide = browser.run("document.documentElement.scrollWidth")
    assert wide <= width, "the page must not scroll sideways"
    assert browser.run("[...document.images].every((i) => i.complete && i.naturalWidth > 0)")


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_opens_without_a_word_in_the_console_and_without_network(
    browser: Browser, page: Path, tmp_path: Path, width: int, scheme: str
) -> None:
    open_quietly(browser, page, width, scheme)
    assert browser.run("window.broken === undefined"), "a reply ran as a script"
    assert browser.picture(tmp_path / "page.png").stat().st_size > 10_000


def test_the_first_screen_says_what_came_out_and_what_beats_it(opened: Browser) -> None:
    assert opened.run("document.querySelector('.facts').getBoundingClientRect().bottom") < 900
    title = opened.run("document.querySelector('h1').textContent")
    assert title == "DPO+NLL lifts the tiny embedded model from 0.550 to 0.800"


CUT = """(() => {
  const seen = (e) => e.checkVisibility() && !e.closest('.hidden, .skip, .picture, pre');
  return [...document.querySelectorAll('main *, header *, nav *')].filter(seen)
    .filter((e) => e.getBoundingClientRect().right > innerWidth + 1)
    .map((e) => e.tagName + '.' + e.className + ' ' + e.textContent.slice(0, 40));
})()"""


def test_on_a_phone_nothing_is_cut(browser: Browser, page: Path) -> None:
    browser.open(page, 390)
    browser.run("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    assert browser.run("document.documentElement.scrollWidth") <= 390
    assert browser.run(CUT) == []
    boxes = "[...document.querySelectorAll('.scroll, .picture')]"
    assert browser.run(f"{boxes}.filter((b) => b.scrollWidth > b.clientWidth + 1).length") == 0
    assert browser.run("Math.max(...[...document.images].map((i) => i.clientWidth))") <= 390


def test_on_a_phone_a_figure_is_enlarged_on_demand(browser: Browser, page: Path) -> None:
    browser.open(page, 390)
    browser.run("document.querySelector('#fig3c .enlarge').click()")
    box = "document.querySelector('#fig3c .picture')"
    assert browser.run(f"{box}.scrollWidth > {box}.clientWidth")


def test_in_the_dark_scheme_figures_are_dark(browser: Browser, page: Path, tmp_path: Path) -> None:
    from PIL import Image

    grounds = {}
    for scheme in ("light", "dark"):
        browser.open(page, 1280, scheme)
        browser.run("document.getElementById('fig3c').scrollIntoView()")
        place = "document.querySelector('#fig3c img').getBoundingClientRect()"
        x, y = browser.run(f"[{place}.left + 4, {place}.top + 4]")
        with Image.open(browser.picture(tmp_path / f"{scheme}.png")) as picture:
            grounds[scheme] = sum(picture.convert("RGB").getpixel((round(x), round(y)))) / 3
    assert grounds["light"] > 250 and grounds["dark"] < 40


def test_on_paper_items_and_tables_stay_and_no_sheet_is_empty(
    browser: Browser, page: Path, tmp_path: Path
) -> None:
    browser.open(page, 1280, "dark")
    sheets = browser.printed(tmp_path / "report.pdf")
    assert len(sheets) > 3 and min(sheets) > 5, sheets
    browser.call("Emulation.setEmulatedMedia", media="print")
    assert browser.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    browser.run("window.dispatchEvent(new Event('beforeprint'))")
    height = "document.querySelector('%s').getBoundingClientRect().height"
    for what in ("#items details pre", "#table-scores tbody tr", "#agreement .matrix", "#table-1"):
        assert browser.run(height % what) > 0, f"{what} is not printed"
    lines = "[...document.querySelectorAll('#items summary')].every((s) => s.offsetHeight > 0)"
    assert browser.run(lines), "every item has its line"
    assert browser.run(height % "#h-tables ~ details .paper-only") > 0
    browser.run("window.dispatchEvent(new Event('afterprint'))")
    browser.call("Emulation.setEmulatedMedia", media="")
    assert browser.run("document.querySelectorAll('#items details[open]').length") == 0


def choose(browser: Browser, table: str, field: str, value: str) -> None:
    """Set a filter or the search field of a table's controls, as a user does."""
    kind = "input" if field == "search" else "change"
    browser.run(
        f"{{const f = document.querySelector('[data-for={table}] [data-{field}]'); "
        f"f.value = {json.dumps(value)}; f.dispatchEvent(new Event('{kind}'))}}"
    )


SHOWN = "[...document.querySelectorAll('#%s [data-row]')].filter((r) => !r.hidden).map((r) => %s)"
OUTPUT = "document.querySelector('[data-for=%s] output').value"


def test_filters_and_search_show_what_they_say(opened: Browser) -> None:
    total = opened.run("document.querySelectorAll('#items [data-row]').length")
    assert opened.run(OUTPUT % "items") == f"{total} of {total} shown"
    choose(opened, "items", "filter=set", "nano-pairs")
    shown = opened.run(SHOWN % ("items", "r.dataset.set"))
    assert 0 < len(shown) < total and set(shown) == {"nano-pairs"}
    choose(opened, "items", "search", "no such words")
    opened.wait(f"{OUTPUT % 'items'} === '0 of {total} shown'")
    assert opened.run("document.getElementById('items-nothing').offsetHeight") > 0
    choose(opened, "claims-table", "search", "AUTO_J pairwise")
    wanted = SHOWN % ("claims-table", "r.cells[0].textContent")
    opened.wait(f"{wanted}.join() === 'auto_j'")
    choose(opened, "claims-table", "search", "nowhere")
    opened.wait("document.getElementById('claims-table-nothing').offsetHeight > 0")


def test_only_what_was_run_is_shown_until_asked_for(opened: Browser) -> None:
    ran = opened.run(SHOWN % ("claims-table", "r.dataset.run"))
    assert ran and set(ran) == {"yes"}
    opened.run("document.querySelector('[data-for=claims-table] [data-absent]').click()")
    assert "no" in opened.run(SHOWN % ("claims-table", "r.dataset.run"))
    rows = "[...document.querySelectorAll('#table-1 tbody tr')].filter((r) => r.offsetHeight > 0)"
    before = opened.run(f"{rows}.length")
    opened.run("document.querySelector('[data-switch=table-1]').click()")
    names = opened.run(f"{rows}.map((r) => r.cells[0].textContent)")
    assert len(names) > before and "Selene Mini, published" in names
    assert names[0] == "trained, DPO+NLL, seed 0"


def test_a_search_marks_its_hits_and_shows_the_passage(opened: Browser) -> None:
    choose(opened, "items", "search", "Result: Reasoning")
    opened.wait("document.querySelectorAll('#items mark').length > 0")
    marked = opened.run("[...document.querySelectorAll('#items mark')].map((m) => m.textContent)")
    assert {m.lower() for m in marked} == {"result:", "reasoning"}
    assert opened.run(
        "/result:|reasoning/i.test(document.querySelector('#items .hit').textContent)"
    )
    assert opened.run("document.querySelectorAll('#items .hit mark').length > 0")
    choose(opened, "items", "search", "")
    opened.wait("document.querySelectorAll('#items mark, #items .hit').length === 0")


def test_an_item_in_the_list_is_told_by_its_text_and_can_be_linked_to(
    opened: Browser, page: Path
) -> None:
    snippets = opened.run(
        "[...document.querySelectorAll('#items .snippet')].map((s) => s.textContent)"
    )
    assert len(snippets) == opened.run("document.querySelectorAll('#items details').length")
    assert len(set(snippets)) > 20 and snippets[0].startswith("Instruction ")
    one = "item-nano-pairs-nano-pairs-"
    name = opened.run(f"document.querySelector('[id^={one}]').id")
    choose(opened, "items", "filter=set", "nano-grades")
    opened.run(f"location.hash = '#{name}'")
    opened.wait(f"document.getElementById('{name}').open")
    opened.wait(f"document.getElementById('{name}').getBoundingClientRect().top < innerHeight")
    told = opened.run(f"document.getElementById('{name}').textContent")
    assert "order AB" in told and "61 prompt tokens, 7 reply tokens" in told


def test_every_table_sorts_by_each_of_its_columns(opened: Browser) -> None:
    head = "document.querySelector('#table-1 thead th:nth-child(2)')"
    cells = "[...document.querySelectorAll('#table-1 tbody td:nth-child(2)')]"
    values = f"{cells}.map((c) => parseFloat(c.dataset.v)).filter((v) => !isNaN(v))"
    opened.run(f"{head}.querySelector('button').click()")
    assert opened.run(f"{head}.getAttribute('aria-sort')") == "descending"
    falling = opened.run(values)
    assert falling == sorted(falling, reverse=True) and len(set(falling)) > 4
    opened.run(f"{head}.querySelector('button').click()")
    assert opened.run(values) == sorted(falling)
    assert opened.run("document.querySelectorAll('#table-1 [aria-sort=none]').length") > 3
    heads = "[...document.querySelectorAll('.scroll thead th')]"
    assert opened.run(f"{heads}.every((h) => h.querySelector('button'))")


SAVED = """new Promise((done) => {
  const make = URL.createObjectURL;
  URL.createObjectURL = (blob) => { blob.text().then(done); return make.call(URL, blob); };
  document.querySelector('%s').click();
})"""


def test_every_table_can_be_downloaded(opened: Browser, page: Path) -> None:
    opened.call("Browser.setDownloadBehavior", behavior="deny")
    bare = "[...document.querySelectorAll('main table[id]')].map((t) => t.id)"
    for name in opened.run(bare):
        assert opened.run(f"!!document.querySelector('button[data-csv=\"{name}\"]')"), name
    rows = list(csv.DictReader(io.StringIO(opened.run(SAVED % "button[data-csv=table-1]"))))
    assert rows[0]["Judge"] == "trained, DPO+NLL, seed 0"
    assert len(rows[0]) > 10 and len(rows) > 6
    packed = opened.run("document.getElementById('csv-table-scores').textContent")
    whole = opened.run(SAVED % "button[data-packed=csv-table-scores]")
    assert whole == gzip.decompress(base64.b64decode(packed)).decode()
    assert len(list(csv.DictReader(io.StringIO(whole)))) == 50


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


def test_the_keyboard_reaches_skip_link_heads_filters_and_tables(opened: Browser) -> None:
    seen = []
    for _ in range(60):
        for kind in ("keyDown", "keyUp"):
            opened.call(
                "Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9
            )
        seen.append(
            opened.run("document.activeElement.className || document.activeElement.tagName")
        )
    assert seen[0] == "skip" and {"SELECT", "INPUT", "BUTTON", "A"} <= set(seen)


def test_the_map_runs_inside_its_frame_in_the_colours_of_fig_4(opened: Browser) -> None:
    opened.run("document.querySelector('.mapbox').open = true")
    opened.run("document.querySelector('iframe').scrollIntoView()")
    deadline = time.monotonic() + 20
    while not opened.frames and time.monotonic() < deadline:
        opened.run("new Promise((done) => setTimeout(done, 100))")
    frame = opened.frames[-1]
    opened.call("Runtime.enable", session=frame)  # tells what was said in the frame before, too
    opened.wait("document.getElementById('shown')?.textContent.length > 0", session=frame)
    assert opened.run("COLOURS[1]", session=frame) == "#E69F00"
    assert opened.run("D.text[0].startsWith('Mapped')", session=frame)
    spread = opened.run("[D.x, D.y].map((v) => Math.max(...v) - Math.min(...v))", session=frame)
    assert min(spread) > 19_000, "the points fill the map"
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


def test_a_comparison_opens_at_both_widths_and_filters_its_flips(
    browser: Browser, page: Path, tmp_path: Path
) -> None:
    one, other = (write_run(tmp_path / name) for name in ("one", "other"))
    write_evaluation(other / files.EVALUATE, np.random.default_rng(3), hostile=True)
    path = build_comparison(one, other, tmp_path / "both.html", show_texts=True)
    for width in WIDTHS:
        open_quietly(browser, path, width, "dark")
    assert browser.run(CUT) == []
    choose(browser, "items", "filter=kinds", "B right, A wrong")
    shown = browser.run(SHOWN % ("items", "r.dataset.kinds"))
    assert shown and set(shown) == {"B right, A wrong"}
    assert min(browser.printed(tmp_path / "both.pdf")) > 2

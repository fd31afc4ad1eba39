"""report.html in a real browser without a network."""

import contextlib
import json
from dataclasses import replace
from pathlib import Path

import axe_playwright_python
import pytest
from playwright.sync_api import sync_playwright
from reporting import REPORTS, failing, latency_map, resource_lines, totals

from analyzer import report_html
from analyzer.model import Event, Group
from loadproof.units import ABSENT
from loadproof.verdict.facts import Absence

ARGUMENTS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--disable-background-networking"]
AXE = Path(axe_playwright_python.__file__).parent / "axe.min.js"


def eventful():
    """A failing run with a heat map, resources, a fault, a lost worker and as many endpoints as are filtered."""
    report = failing()
    events = (
        Event(12_000_000, "2024-01-02T03:04:17Z", "fault_begins", "database-down", "injected"),
        Event(18_000_000, "2024-01-02T03:04:23Z", "fault_ends", "database-down", "reverted"),
        Event(20_000_000, "2024-01-02T03:04:25Z", "worker_away", "us-east-1-01", "not heard for 6 s"),
        Event(27_000_000, "2024-01-02T03:04:32Z", "worker_back", "us-east-1-01", "heard again"),
        Event(31_000_000, "2024-01-02T03:04:36Z", "guard", "us-east-1-01", "memory above 1.8 GB"),
    )
    slow = tuple(
        Group(f"GET /endpoint/{number:02}", totals(100, p50_us=1_000 * (37 * number % 20 + 1)))
        for number in range(20)
    )
    return replace(
        report,
        events=report.events + events,
        by_name=(*slow, Group("GET /never", totals(0, 3))),
        latency_map=latency_map(report.timeline),
        resource_lines=resource_lines(),
        absences=(Absence("us-east-1-01", 20_000_000, 27_000_000, "its lease has lapsed"),),
    )


PAGES = {"fail": eventful, "hostile": REPORTS["hostile"], "invalid": REPORTS["invalid"]}
CHARTS = {"fail": 8, "hostile": 6, "invalid": 5}


@pytest.fixture(scope="module")
def browser():
    with (
        sync_playwright() as playwright,
        contextlib.closing(
            playwright.chromium.launch(executable_path="/usr/bin/chromium", args=ARGUMENTS)
        ) as chromium,
    ):
        yield chromium


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    for name, make in PAGES.items():
        (folder / f"{name}.html").write_bytes(report_html.render(make()))
    return folder


@contextlib.contextmanager
def opened(browser, file, theme="light", width=1440, **options):
    """The page, what it asked for beside itself, and what it complained of."""
    size = {"width": width, "height": 900}
    context = browser.new_context(offline=True, color_scheme=theme, viewport=size, **options)
    with contextlib.closing(context):
        page = context.new_page()
        asked, said = [], []
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(file.as_uri())
        yield page, [url for url in asked[1:] if not url.startswith("data:")], said


@pytest.mark.parametrize("width", [1440, 390])
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", ["fail", "hostile"])
def test_the_page_is_quiet_and_fits(browser, pages, name, theme, width):
    """In both themes, wide and narrow: no request, no console message, no horizontal scroll of the page."""
    with opened(browser, pages / f"{name}.html", theme, width) as (page, asked, said):
        page.mouse.move(width / 2, 400)
        assert asked == []
        assert said == []
        assert page.evaluate("document.documentElement.scrollWidth") == width
        assert page.locator(".verdict").inner_text() == "FAIL"
        assert page.locator(".chart svg.marks:visible").count() == CHARTS[name]


AXE_RUN = """async () => {
  const found = await axe.run(document, {resultTypes: ["violations"]})
  return found.violations.map(({id, impact, nodes}) => [impact, id, nodes.length, nodes[0].html.slice(0, 200)])
}"""


@pytest.mark.parametrize(
    ("name", "theme", "width"),
    [("fail", "light", 1440), ("fail", "dark", 390), ("hostile", "dark", 1440), ("invalid", "light", 390)],
)
def test_axe_finds_no_serious_fault(browser, pages, name, theme, width):
    """The rules of axe-core, contrast among them, find nothing serious or critical."""
    # The page's policy would keep out axe, as it keeps out everything.
    with opened(browser, pages / f"{name}.html", theme, width, bypass_csp=True) as (page, _, _):
        page.evaluate(AXE.read_text(encoding="utf-8") + "; 0")
        found = page.evaluate(AXE_RUN)
        assert [one for one in found if one[0] in {"serious", "critical"}] == []


CONTRAST = """() => {
  const channel = (value) => (value /= 255) <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b)
  const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number)
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = numbers(getComputedStyle(at).backgroundColor)
      if (colour[3] !== 0) return colour
    }
    return numbers(getComputedStyle(document.body).backgroundColor)
  }
  const low = []
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim())
    const style = getComputedStyle(element)
    if (!own || element.closest("svg") && style.stroke !== "none" || !element.getClientRects().length) continue
    const ink = light(numbers(element.closest("svg") ? style.fill : style.color)), paper = light(behind(element))
    const ratio = (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05)
    if (ratio < 4.5) low.push(`${element.tagName} ${element.textContent.slice(0, 30)} ${ratio.toFixed(2)}`)
  }
  return low
}"""
"""Texts whose contrast is below 4.5 (WCAG 2.1, 1.4.3); a stroked text in a chart is only a halo."""


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_text_is_readable(browser, pages, theme):
    """Each text of the page and of its charts, which axe does not see, has a contrast of at least 4.5."""
    with opened(browser, pages / "fail.html", theme) as (page, _, _):
        assert page.evaluate(CONTRAST) == []


def test_the_generators_lag_stands_in_its_own_section(browser, pages):
    """Its chart is beside the generator's totals with the limit in words, and not among the target's charts."""
    with opened(browser, pages / "fail.html") as (page, _, _):
        lag = page.locator('figure[data-chart="lag"]')
        section = page.locator("section", has=lag)

        assert lag.count() == 1
        assert section.locator("h2").inner_text() == "The generator's health"
        assert "above 25 ms for 10 s makes the run INVALID" in section.inner_text()
        assert "wait for a user is the target's" not in section.inner_text()


def column(page, table, number):
    return page.eval_on_selector_all(
        f"#{table} tbody tr", f"rows => rows.map((row) => row.cells[{number}].textContent.trim())"
    )


def test_tables_sort_by_value_and_keep_the_unknown_last(browser, pages):
    """A click sorts by the number behind the text, a second one the other way; a dash is never the smallest."""
    with opened(browser, pages / "fail.html") as (page, _, _):
        endpoints = page.locator("#endpoints thead button")
        p95 = page.locator("#endpoints th", has_text="P95")

        assert p95.get_attribute("aria-sort") == "descending"
        slowest = column(page, "endpoints", 7)
        assert slowest[0] == "60 ms"
        assert slowest[-2:] == ["3 ms", ABSENT]
        endpoints.nth(7).click()
        assert p95.get_attribute("aria-sort") == "ascending"
        assert column(page, "endpoints", 7) == [*slowest[-2::-1], ABSENT]
        endpoints.nth(0).focus()
        page.keyboard.press("Enter")
        assert column(page, "endpoints", 0) == sorted(column(page, "endpoints", 0))
        assert p95.get_attribute("aria-sort") is None


def test_a_long_table_is_filtered(browser, pages):
    """What is typed leaves the rows that contain it, and says how many."""
    with opened(browser, pages / "fail.html") as (page, _, _):
        page.locator("#endpoints").get_by_label("Rows with").fill("ENDPOINT/1")

        assert page.locator("#endpoints tbody tr:visible").count() == 10
        assert "10 of 21" in page.locator("#endpoints .filter").inner_text()


def readout(page, chart):
    return page.locator(f'figure[data-chart="{chart}"] .readout').inner_text().replace("\n", " ")


def x_labels(page, chart):
    axis = page.locator(f'figure[data-chart="{chart}"] .wide .role-axis-label').first
    return axis.locator("text").all_text_contents()


def plot(page, chart):
    """Where the plotting area of a chart lies, after it was brought into view."""
    area = page.locator(f'figure[data-chart="{chart}"] .wide .role-frame > g > .background')
    page.evaluate("(one) => one.scrollIntoView({block: 'center'})", area.element_handle())
    return area.bounding_box()


def test_pointing_at_a_chart_reads_every_chart(browser, pages):
    """The readouts speak of the second under the pointer, with the numbers of the report."""
    report = eventful()
    with opened(browser, pages / "fail.html") as (page, _, _):
        area = plot(page, "latency")
        page.mouse.move(area["x"] + area["width"] * 30.5 / 40, area["y"] + area["height"] / 2)

        second = report.timeline[30]
        assert readout(page, "latency").startswith("0:30")
        assert f"P99 {second.p99_us / 1000:.0f} ms" in readout(page, "latency")
        assert f"ok {second.ok}/s" in readout(page, "throughput")
        assert f"failed {second.failed}/s" in readout(page, "errors")
        assert "target.cpu 50 %" in readout(page, "resources")
        assert f"ok requests {second.ok}" in readout(page, "heatmap")
        assert page.locator('.wide .cursor:not([style*="none"])').count() == CHARTS["fail"]
        page.mouse.move(10, 10)
        assert readout(page, "latency") == ""


def test_dragging_over_a_chart_zooms_all_of_them(browser, pages):
    """A drag shows its stretch in every chart with round ticks, a double-click the whole run again."""
    with opened(browser, pages / "fail.html") as (page, _, said):
        area = plot(page, "heatmap")
        whole = x_labels(page, "users")
        page.mouse.move(area["x"] + area["width"] / 4, area["y"] + 50)
        page.mouse.down()
        page.mouse.move(area["x"] + area["width"] / 2, area["y"] + 60, steps=3)
        page.mouse.up()

        assert page.locator("#zoom .range").inner_text() == "0:10 to 0:20"
        assert {"0:12", "0:16"} <= set(x_labels(page, "users"))
        assert set(x_labels(page, "users")) == set(x_labels(page, "lag"))
        page.mouse.dblclick(area["x"] + 300, area["y"] + 60)
        assert x_labels(page, "users") == whole
        page.get_by_role("button", name="Zoom to phase steady").click()
        assert page.locator("#zoom .range").inner_text() == "0:10 to 0:40"
        assert said == []


def test_charts_are_read_and_zoomed_with_the_keyboard(browser, pages):
    """A chart is a slider: arrows move by a second and say the values, plus zooms, Escape shows all."""
    with opened(browser, pages / "fail.html") as (page, _, _):
        chart = page.get_by_role("slider", name="Latency, second by second")
        chart.focus()
        for key in ("Home", "ArrowRight", "ArrowRight", "Shift+ArrowRight"):
            page.keyboard.press(key)

        assert chart.get_attribute("aria-valuenow") == "12"
        assert chart.get_attribute("aria-valuetext").startswith("0:12: P50 ")
        page.keyboard.press("+")
        assert page.locator("#zoom .range").inner_text() == "0:06 to 0:26"
        page.keyboard.press("Escape")
        assert page.locator("#zoom .range").inner_text() == "Drag over a chart to zoom all of them."


def test_the_page_can_be_read_without_its_script(browser, pages):
    """With scripts off, charts and tables are there, and no control that would do nothing."""
    with opened(browser, pages / "fail.html", java_script_enabled=False) as (page, _, _):
        assert page.locator(".chart svg.marks:visible").count() == CHARTS["fail"]
        assert page.locator("button:visible, input:visible").count() == 0
        assert page.locator("#endpoints tbody tr").count() == 21


def test_a_print_shows_what_is_folded_on_ink_saving_paper(browser, pages):
    """In print every fold is open, controls are gone, and a dark screen prints light."""
    with opened(browser, pages / "fail.html", "dark") as (page, _, _):
        page.emulate_media(media="print", color_scheme="dark")
        page.evaluate("dispatchEvent(new Event('beforeprint'))")

        assert page.locator("nav:visible, #zoom:visible, .filter:visible").count() == 0
        assert page.locator("details:not([open])").count() == 0
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        assert page.evaluate("getComputedStyle(document.querySelector('h1')).color") == "rgb(29, 36, 48)"
        assert page.pdf()[:5] == b"%PDF-"


def test_hostile_names_make_no_elements(browser, pages):
    """No name of a hostile run became an element, a handler or a link to elsewhere."""
    with opened(browser, pages / "hostile.html") as (page, _, _):
        assert page.locator("iframe, img, object, embed, [onload], [onerror], [onclick]").count() == 0
        assert page.locator("script").count() == 2
        assert page.locator('a:not([href^="#"])').count() == 0
        assert page.locator("bdi", has_text="<script>alert(1)</script>").count() > 5
        assert json.loads(page.locator("#chart-data").inner_text())["end"] == 40

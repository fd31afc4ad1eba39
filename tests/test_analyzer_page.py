"""report.html in a real browser without a network."""

import contextlib

import pytest
from playwright.sync_api import sync_playwright
from reporting import REPORTS

from analyzer import report_html

ARGUMENTS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--disable-background-networking"]


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
    for name in ("fail", "hostile"):
        (folder / f"{name}.html").write_bytes(report_html.render(REPORTS[name]()))
    return folder


@contextlib.contextmanager
def opened(browser, file, theme, width):
    """The page, what it asked for beside itself, and what it complained of."""
    context = browser.new_context(offline=True, color_scheme=theme, viewport={"width": width, "height": 900})
    with contextlib.closing(context):
        page = context.new_page()
        asked, said = [], []
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(file.as_uri())
        yield page, asked[1:], said


@pytest.mark.parametrize("width", [1440, 390])
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", ["fail", "hostile"])
def test_the_page_is_quiet_and_fits(browser, pages, name, theme, width):
    """In both themes, wide and narrow: no request, no console message, no horizontal scroll of the page."""
    with opened(browser, pages / f"{name}.html", theme, width) as (page, asked, said):
        assert asked == []
        assert said == []
        assert page.evaluate("document.documentElement.scrollWidth") == width
        assert page.locator(".verdict").inner_text() == "FAIL"
        assert page.locator(".chart svg:visible").count() == 4


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


def test_the_generators_lag_stands_in_its_own_section(browser, pages):
    """Its chart is beside the generator's totals with the limit in words, and not among the target's charts."""
    with opened(browser, pages / "fail.html", "light", 1440) as (page, _, _):
        lag = page.locator('figure[aria-label="The generator\'s own lag"]')
        section = page.locator("section", has=lag)

        assert lag.count() == 1
        assert section.locator("h2").inner_text() == "The generator's health"
        assert "above 25 ms for 10 s makes the run INVALID" in section.inner_text()
        assert "wait for a user is the target's" not in section.inner_text()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_text_is_readable(browser, pages, theme):
    """Each text of the page and of its charts has a contrast of at least 4.5 in both themes."""
    with opened(browser, pages / "fail.html", theme, 1440) as (page, _, _):
        assert page.evaluate(CONTRAST) == []


def test_hostile_names_make_no_elements(browser, pages):
    """No name of a hostile run became an element, a handler or a link."""
    with opened(browser, pages / "hostile.html", "light", 1440) as (page, _, _):
        assert page.locator("script, a, iframe, img, b, [onload], [onerror], [onclick]").count() == 0
        assert page.locator("bdi", has_text="<script>alert(1)</script>").count() > 5

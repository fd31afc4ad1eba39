"""The pictures of docs/dashboards.md: each dashboard's panels, drawn by us from the answers to their own queries.

    PYTHONPATH=tests/support python bench/dashboard_pictures.py [--seconds 90] [--pictures docs/images]

A target that fails now and then is loaded by an open plan from two regions, and a Prometheus with the committed rules
watches both. Then every query of every committed dashboard is asked over the run, and drawn where the dashboard has its
panel. It is not Grafana: fonts, colours and legends are ours.
"""

from __future__ import annotations

import argparse
import base64
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from panel_drawings import DRAWN, graph, label
from panelling import answer, documents, queries_of
from playwright.sync_api import sync_playwright
from prometheus import free_port, watching
from serving import serving

from analyzer.chart_style import FAINT, GRID, INK, PAPER

if TYPE_CHECKING:
    from prometheus import Real

ROOT = Path(__file__).resolve().parents[1]
RULES = ROOT / "monitoring" / "rules"
CELL, LINE, GAP, HEAD = 46, 20, 4, 50
"""Pixels of one of the grid's 24 columns and of one of its lines, between panels, and above them."""
QUALITY = 36
PLAN = """\
name: watched
suite: governance
target: {target}
load:
  - {{phase: ramp, duration: {ramp}s, arrivals: 10..120/s, users: 80}}
  - {{phase: steady, duration: {steady}s, arrivals: 120/s, users: 80}}
  - {{phase: spike, duration: {ramp}s, arrivals: 250/s, users: 160}}
regions:
  - {{name: eu-west-1, workers: 1}}
  - {{name: us-east-1, workers: 1}}
rules:
  - p95 <= 50ms, goal < 20ms
  - p99 <= 200ms
  - rate >= 50/s
  - error_ratio <= 1%
  - check(compliance) >= 95%
  - check(hash_consistency) >= 100%
seed: 7
"""


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=int, default=90)
    parser.add_argument("--pictures", type=Path, default=ROOT / "docs" / "images")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        watch(Path(name), arguments.seconds, arguments.pictures)
    return 0


def watch(folder: Path, seconds: int, pictures: Path) -> None:
    """Run, and draw while the Prometheus is still there."""
    address, own = f"127.0.0.1:{free_port()}", free_port()
    with serving("--port", "0", "--switch", "errors=0.012", folder=folder) as target:
        plan = folder / "watched.yaml"
        plan.write_text(PLAN.format(target=target.url, ramp=seconds // 6, steady=seconds * 4 // 6))
        command = [sys.executable, "-m", "loadproof", "run", str(plan), "--metrics", address]
        run = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
        jobs = {
            "loadproof": [address],
            "target": [target.url.removeprefix("http://")],
            "prometheus": [f"127.0.0.1:{own}"],
        }
        try:
            rules = [RULES / "recording.yml", RULES / "alerts.yml"]
            with watching(folder, jobs, rules=rules, port=own) as real:
                run.wait(timeout=seconds + 120)
                for name, document in documents().items():
                    picture = pictures / f"dashboard-{name}.webp"
                    picture.write_bytes(as_webp(*drawn(real, name, document)))
                    print(picture, f"{picture.stat().st_size:,} bytes")
        finally:
            run.kill()
            run.wait(30)


def as_webp(svg: str, width: int, height: int) -> bytes:
    """A tenth of what it takes as PNG, and a third of the SVG."""
    with sync_playwright() as playing:
        browser = playing.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        page = browser.new_page(viewport={"width": width, "height": height})
        page.set_content(f'<body style="margin: 0">{svg}</body>')
        session = page.context.new_cdp_session(page)
        shot = session.send("Page.captureScreenshot", {"format": "webp", "quality": QUALITY})
        browser.close()
    return base64.b64decode(shot["data"])


def drawn(real: Real, name: str, document: dict[str, Any]) -> tuple[str, int, int]:
    """A dashboard as SVG, and its width and height."""
    [told] = real.asked("query", query="loadproof_run_info[1h]")["result"]
    run, begin_s, end_s = told["metric"]["run"], told["values"][0][0], told["values"][-1][0]
    parts = []
    for panel in document["panels"]:
        box = panel["gridPos"]
        x, y = box["x"] * CELL + GAP, box["y"] * LINE + GAP + HEAD
        width, height = box["w"] * CELL - 2 * GAP, box["h"] * LINE - 2 * GAP
        kind = panel["type"]
        if kind == "row":
            parts.append(label(x, y + 16, panel["title"], 14, INK, bold=True))
            continue
        if kind == "text":
            words = panel["options"]["content"].replace("${folder}", run[:-5]).replace("`", "")
            parts.append(label(x, y + 20, words, 12, INK))
            continue
        found = [
            (asked.legend, answer(real, asked, run, begin_s, end_s)) for asked in queries_of(name, panel)
        ]
        title = panel["title"].replace("${quantile:text}", "p95")
        parts += [
            f'<rect x="{x}" y="{y}" width="{width}" height="{height}" fill="none" stroke="{GRID}" rx="3"/>',
            label(x + 8, y + 17, title, 12, INK, bold=True),
        ]
        inside = DRAWN.get(kind, graph)
        body = inside(panel, found, width - 16, height - 30, begin_s)
        # Every chart numbers its own parts, and they are all in one picture here.
        own = re.sub(r'(id="|url\(#|href="#)', rf"\g<1>p{panel['id']}-", body)
        parts.append(f'<g transform="translate({x + 8},{y + 26})">{own}</g>')
    bottom = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in document["panels"])
    across, down = 24 * CELL, bottom * LINE + HEAD + GAP
    head = label(8, 24, document["title"], 18, INK, bold=True) + label(
        8, 42, f"{run}, drawn by bench/dashboard_pictures.py from the panels' queries: not Grafana", 11, FAINT
    )
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="{across}" '
        f'height="{down}" viewBox="0 0 {across} {down}"><rect width="{across}" height="{down}" fill="{PAPER}"/>'
        f"{head}{''.join(parts)}</svg>"
    )
    return svg, across, down


if __name__ == "__main__":
    sys.exit(main())

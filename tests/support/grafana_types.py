"""The committed dashboards as TypeScript, held to the types that Grafana itself is written in."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

from panelling import documents

if TYPE_CHECKING:
    from pathlib import Path

PACKAGES = ("@grafana/schema@12.4.11", "typescript@5.9.3")
CONFIGURED = {
    "timeseries": "timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen",
    "stat": "stat/panelcfg/x/StatPanelCfg_types.gen",
    "table": "table/panelcfg/x/TablePanelCfg_types.gen",
    "state-timeline": "statetimeline/panelcfg/x/StateTimelinePanelCfg_types.gen",
    "heatmap": "heatmap/panelcfg/x/HeatmapPanelCfg_types.gen",
    "text": "text/panelcfg/x/TextPanelCfg_types.gen",
}
"""Type of a panel -> where its options are described."""
WITHOUT_FIELDS = ("stat", "text")
"""Panels whose fields have nothing of their own."""
HEAD = """\
import type { AnnotationQuery, Dashboard, DataQuery, Panel, RowPanel } from "@grafana/schema";
// What its Prometheus data source adds to an annotation.
type Asked = DataQuery & { expr: string; interval: string };
type Annotated = { annotations: { list: Array<AnnotationQuery<Asked> & { titleFormat: string }> } };
// JSON has an enumeration's values where the types have its names.
type Plain<T> = T extends string ? `${T}` : T extends number | boolean | null | undefined ? T
  : T extends Array<infer Item> ? Array<Plain<Item>> : T extends object ? { [Key in keyof T]: Plain<T[Key]> } : T;
"""


def typescript() -> str:
    """One constant a dashboard and a panel; what the types do not know is a mistake."""
    lines = [HEAD]
    for kind, path in CONFIGURED.items():
        lines.append(f'import type * as {_word(kind)} from "@grafana/schema/dist/esm/raw/composable/{path}";')
    for name, document in documents().items():
        rest = {key: value for key, value in document.items() if key != "panels"}
        lines.append(
            _constant(f"{name}_board", 'Omit<Dashboard, "panels" | "annotations"> & Annotated', rest)
        )
        lines += [
            _constant(f"{name}_{panel['id']}", _type(panel["type"]), panel) for panel in document["panels"]
        ]
    return "\n".join(lines) + "\n"


def check(folder: Path, text: str) -> str:
    """What the TypeScript compiler finds wrong; empty if nothing."""
    words = ["npm", "install", "--no-audit", "--no-fund", "--silent", *PACKAGES]
    subprocess.run(words, cwd=folder, check=True, timeout=300)
    (folder / "dashboards.ts").write_text(text)
    options = [
        "--noEmit",
        "--strict",
        "--skipLibCheck",
        "--module",
        "esnext",
        "--moduleResolution",
        "bundler",
    ]
    done = subprocess.run(
        ["node_modules/.bin/tsc", *options, "dashboards.ts"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.stdout or done.returncode == 0, done.stderr
    return done.stdout


def _type(kind: str) -> str:
    if kind == "row":
        return "RowPanel"
    fields = "Record<string, never>" if kind in WITHOUT_FIELDS else f"{_word(kind)}.FieldConfig"
    # What is given by default may be left out.
    return f'Omit<Panel<Record<string, unknown>, Partial<{fields}>>, "options"> & {{ options: Partial<{_word(kind)}.Options> }}'


def _constant(name: str, kind: str, value: Any) -> str:
    return f"export const {name}: Plain<{kind}> = {json.dumps(value, indent=1)};"


def _word(kind: str) -> str:
    return kind.replace("-", "_")

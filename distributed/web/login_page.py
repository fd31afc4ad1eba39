"""The page that asks for the token of the web UI: whole in itself, since nothing else is shown to a stranger."""

from __future__ import annotations

from html import escape
from typing import Final

_PAGE: Final = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Log in · loadproof</title>
<link rel="icon" href="data:,">
<style>
:root {{ --paper: #f7f8fa; --card: #fff; --ink: #1d2430; --faint: #5d6778; --line: #c9d0dc; --go: #15803d; --fail: #c2262d }}
@media (prefers-color-scheme: dark) {{
  :root {{ --paper: #121212; --card: #1e1e1e; --ink: #eee; --faint: #a5adba; --line: #4b5563; --go: #15803d; --fail: #f7787d }}
}}
body {{ margin: 0; min-height: 100vh; display: grid; place-items: center; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, Roboto, "DejaVu Sans", sans-serif }}
main {{ background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 28px 32px;
  width: min(400px, 80vw) }}
h1 {{ font-size: 22px; margin: 0 0 4px }} p {{ margin: 4px 0 16px; color: var(--faint) }} .wrong {{ color: var(--fail) }}
label {{ display: block; font-size: 14px }}
input {{ width: 100%; box-sizing: border-box; font: inherit; padding: 8px 10px; margin: 4px 0 16px; color: inherit;
  background: var(--paper); border: 1px solid var(--line); border-radius: 6px }}
button {{ font: inherit; font-weight: 600; color: #fff; background: var(--go); border: 0; border-radius: 6px; padding: 9px 22px }}
</style>
</head>
<body>
<main>
<h1>loadproof</h1>
{said}
{way}
</main>
</body>
</html>
"""
_FORM: Final = """\
<p>The token is in the file that this run was started with.</p>
<form method="post" action="/login">
<input name="username" autocomplete="username" value="loadproof" hidden>
<label for="token">Token</label>
<input id="token" name="token" type="password" autocomplete="current-password" required autofocus>
<button>Log in</button>
</form>"""
_NO_FORM: Final = (
    "<p>Open the one-time link that the run's terminal shows: each link opens this page once.</p>"
)


def login_page(said: str, *, has_token: bool) -> str:
    """`said` is what went wrong, or nothing; without a token only a link opens the web UI."""
    told = f'<p class="wrong" role="alert">{escape(said)}</p>' if said else ""
    return _PAGE.format(said=told, way=_FORM if has_token else _NO_FORM)

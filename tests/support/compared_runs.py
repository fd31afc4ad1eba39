"""Made-up runs whose latencies hardly spread, so that a change of a tenth shows in half a minute."""

import json
from dataclasses import replace
from random import Random

from made_runs import make_requests, make_run

RULES = ("p95 <= 250ms", "error_ratio <= 5%", "rate >= 50/s")
SLOW = "GET /audit/chain"


def steady_requests(seed, *, factor=1.0, slow=1.0, spread=0.02):
    """Requests of 50 ms each, give or take 2 %; all take `factor` times that, those of `SLOW` `slow` times more."""
    random = Random(seed)
    return [
        replace(
            one,
            us=round(
                50_000
                * random.lognormvariate(0, spread)
                * factor
                * (slow if f"{one.method} {one.name}" == SLOW else 1)
            ),
        )
        for one in make_requests(seed=seed)
    ]


def made(folder, seed, *, rules=RULES, started="2024-01-02T03:04:05.000Z", **changes):
    """A run folder of `steady_requests`, which says when it began and is named after its folder."""
    run = make_run(folder, steady_requests(seed, **changes), rules=rules)
    change_manifest(run, started_utc=started)
    return run


def change_manifest(run, /, **changes):
    path = run / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))

"""The `prometheus` of a plan: a URL alone, or with a token's variable and the resources that it knows."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from loadproof.plan.columns import NAME
from loadproof.plan.hosts import what_is_wrong_with_url
from loadproof.plan.model import Prometheus
from loadproof.plan.node import Mapping, described, quoted

if TYPE_CHECKING:
    import collections.abc

    from loadproof.plan.node import Node
    from loadproof.plan.values import Values

TOKEN: Final = "LOADPROOF_PROMETHEUS_TOKEN"  # noqa: S105 the name of a variable
"""The variable that is asked for a token where the plan names none; it need not be set."""
_RESOURCE: Final = re.compile(r"[A-Za-z_][\w-]*(?:\.[\w-]+)+", re.ASCII)


def token_variable(prometheus: Prometheus | None) -> str:
    """The environment variable whose value is the token, if it is set."""
    return TOKEN if prometheus is None or prometheus.token is None else prometheus.token


def read_prometheus(
    node: Node, values: Values, environ: collections.abc.Mapping[str, str]
) -> Prometheus | None:
    """None after adding a mistake."""
    if not isinstance(node, Mapping):
        url = _url(node, values)
        return None if url is None else Prometheus(url=url)
    given = values.entries(node, "`prometheus`", ("url", "token", "resources"), required=("url",)) or {}
    url = _url(given["url"], values) if "url" in given else None
    token = None
    if "token" in given:
        token = values.named(
            given["token"], "token", NAME, "the name of an environment variable, never a token"
        )
        if token is not None and environ and not environ.get(token):
            # An effective plan is read again without any environment, where no value is asked for.
            values.wrong(given["token"], f"the environment variable {quoted(token)} is not set", "set it")
    resources = _resources(given["resources"], values) if "resources" in given else {}
    return None if url is None else Prometheus(url=url, token=token, resources=resources)


def _url(node: Node, values: Values) -> str | None:
    text = values.text(node, "prometheus")
    if text is None:
        return None
    url = text.rstrip("/")
    wrong = what_is_wrong_with_url(url, is_target=False)
    if wrong is None:
        return url
    message, hint = wrong
    values.wrong(node, f"`prometheus` {message}", hint)
    return None


def _resources(node: Node, values: Values) -> dict[str, str]:
    if not isinstance(node, Mapping):
        message = f"`resources` must be a mapping of names to PromQL, not {described(node)}"
        values.wrong(node, message, "for example {target.cpu: avg(instance:cpu:ratio)}")
        return {}
    found = {}
    for name, entry in node.entries.items():
        if not _RESOURCE.fullmatch(name):
            message = f"{quoted(name)} is not the name of a resource"
            values.wrong(entry.key_place, message, "such as target.cpu or db.connections")
        expression = values.text(entry.node, name)
        if expression is not None:
            found[name] = expression
    return found

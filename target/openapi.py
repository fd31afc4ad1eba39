"""The target's OpenAPI 3.1 document, made from what its endpoints declare and from their handlers' docstrings.

The schemas are msgspec's, of the very types that bodies are read into and answers are written from. What all
endpoints of a kind have in common, headers and errors, follows from the kind and is declared nowhere twice.
"""

from __future__ import annotations

import inspect
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, get_args

import msgspec

from target.answers import BODY_LIMIT, JSON, ErrorAnswer
from target.constitution import HEADER
from target.counts import RUN_HEADER
from target.endpoint import Bearer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from target.endpoint import Endpoint

OPENAPI: Final = "3.1.0"
_REF: Final = "#/components/schemas/{name}"
_HASH: Final = "ConstitutionalHash"
_RUN: Final = "Run"
_HASH_HEADER: Final = {HEADER: {"$ref": f"#/components/headers/{_HASH}"}}
_DESCRIPTION: Final = """\
The reference system under test of loadproof. GET is answered to HEAD too, without a body. A path that is not
here is 404, another method on a path that is here 405, and bytes that are no HTTP are 400, all in the form of
`ErrorAnswer`."""
_ERRORS: Final = {
    400: f"The body is no JSON, the header {HEADER} is missing, or {RUN_HEADER} is not a run's name.",
    401: "No bearer token or one of nobody's; for a login: no such user, or another password.",
    403: "The token is another's; for switches: the client is on another machine.",
    404: "There is nothing of this id.",
    409: "Somebody else was faster, it exists already, or there is no room for more.",
    410: "The run's counts were dropped to make room for newer runs.",
    412: f"The header {HEADER} names another constitution than the one served.",
    413: f"The body has more than {BODY_LIMIT} bytes.",
    422: "The body or the query is not of the form described here; the message names the place.",
    500: "A defect of the target, or the switch `errors`.",
    503: "The store or another component cannot be used now, or the prover came to no result.",
    504: "The backend did not answer the gateway in time.",
}
_ERROR_HEADERS: Final = {401: ("WWW-Authenticate", True), 503: ("Retry-After", False)}
"""Beside the constitutional hash; True where every error of the status has it."""


def holding(form: Any) -> msgspec.Meta:
    """Says of a `msgspec.Raw` in an answer that it is the JSON of `form`."""
    (schema,), parts = msgspec.json.schema_components([form], ref_template=_REF)
    # `document` puts the parts where the reference looks for them.
    return msgspec.Meta(extra_json_schema={**schema, "$defs": parts})


def document(endpoints: Sequence[Endpoint], version: str, constitutional_hash: str) -> bytes:
    """The document as JSON; `version` is the target's."""
    named = {each for endpoint in endpoints for each in (endpoint.body, *endpoint.answers.values())}
    types = sorted({ErrorAnswer, *named} - {None, str}, key=str)
    references, schemas = msgspec.json.schema_components(types, ref_template=_REF)
    schema_of = dict(zip(types, references, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint, schema_of)
    components: dict[str, Any] = {
        "schemas": schemas,
        "parameters": _shared_parameters(constitutional_hash),
        "headers": {_HASH: {"required": True, "schema": {"type": "string"}}},
        "responses": {str(status): _refusal(status, schema_of[ErrorAnswer]) for status in _ERRORS},
        "securitySchemes": {name: {"type": "http", "scheme": "bearer"} for name in get_args(Bearer)},
    }
    parts: dict[str, Any] = {}
    content = {
        "openapi": OPENAPI,
        "info": {
            "title": "The reference target of loadproof",
            "version": version,
            "description": _flowing(_DESCRIPTION),
        },
        "paths": _portable(paths, parts),
        "components": _portable(components, parts),
    }
    schemas = content["components"]["schemas"]
    for name, part in parts.items():
        assert schemas.setdefault(name, part) == part, f"two types are called {name}"
    return msgspec.json.encode(content)


def refusals(endpoint: Endpoint) -> set[int]:
    """The statuses of the errors that an endpoint may answer with."""
    found = {500, *endpoint.refusals}
    if endpoint.disturbed:
        found |= {503}
    if endpoint.counted:
        found |= {400}
    if endpoint.needs_hash:
        found |= {400, 412}
    if endpoint.bearer is not None:
        found |= {401, 403}
    if endpoint.body is not None:
        found |= {400, 413, 422}
    if endpoint.query is not None:
        found |= {422}
    return found


def _operation(endpoint: Endpoint, schema_of: Mapping[Any, Any]) -> dict[str, Any]:
    handler = endpoint.endpoint
    room = handler.__module__.rpartition(".")[2]
    summary, _, description = (inspect.getdoc(handler) or "").partition("\n\n")
    operation: dict[str, Any] = {
        "operationId": f"{room}.{handler.__name__}",
        "tags": [room],
        "summary": _flowing(summary),
    }
    if description:
        operation["description"] = _flowing(description)
    parameters = [
        *(_path_parameter(name) for name in endpoint.param_convertors),
        *_query_parameters(endpoint.query),
    ]
    if endpoint.needs_hash:
        parameters.append({"$ref": f"#/components/parameters/{_HASH}"})
    if endpoint.counted:
        parameters.append({"$ref": f"#/components/parameters/{_RUN}"})
    if parameters:
        operation["parameters"] = parameters
    if endpoint.body is not None:
        operation["requestBody"] = {"required": True, "content": {JSON: {"schema": schema_of[endpoint.body]}}}
    responses = {status: {"$ref": f"#/components/responses/{status}"} for status in refusals(endpoint)}
    for status, form in endpoint.answers.items():
        responses[status] = _answer(status, form, schema_of)
    operation["responses"] = {str(status): responses[status] for status in sorted(responses)}
    if endpoint.bearer is not None:
        operation["security"] = [{endpoint.bearer: []}]
    return operation


def _answer(status: int, form: Any, schema_of: Mapping[Any, Any]) -> dict[str, Any]:
    content = (
        {"text/plain": {"schema": {"type": "string"}}} if form is str else {JSON: {"schema": schema_of[form]}}
    )
    return {"description": HTTPStatus(status).phrase, "headers": _HASH_HEADER, "content": content}


def _refusal(status: int, schema: Any) -> dict[str, Any]:
    headers: dict[str, Any] = dict(_HASH_HEADER)
    if status in _ERROR_HEADERS:
        name, required = _ERROR_HEADERS[status]
        headers[name] = {"required": required, "schema": {"type": "string"}}
    return {"description": _ERRORS[status], "headers": headers, "content": {JSON: {"schema": schema}}}


def _shared_parameters(constitutional_hash: str) -> dict[str, Any]:
    return {
        _HASH: {
            "name": HEADER,
            "in": "header",
            "required": True,
            "description": "The constitution that the request acts under; 412 for another than the one served.",
            "schema": {"type": "string", "const": constitutional_hash},
        },
        _RUN: {
            "name": RUN_HEADER,
            "in": "header",
            "required": False,
            "description": "The load test run that the request is counted for, see `/counts`.",
            "schema": {"type": "string", "pattern": "^[!-~]{1,128}$"},
        },
    }


def _path_parameter(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "integer", "minimum": 1}}


def _query_parameters(form: Any) -> Iterator[dict[str, Any]]:
    if form is None:
        return
    _, schemas = msgspec.json.schema_components([form], ref_template=_REF)
    schema = schemas[form.__name__]
    for name, value in schema["properties"].items():
        yield {"name": name, "in": "query", "required": name in schema["required"], "schema": value}


def _portable(node: Any, parts: dict[str, Any]) -> Any:
    """The node with patterns as ECMA-262 writes them; what stands in a `$defs` of it is moved to `parts`."""
    if isinstance(node, list):
        return [_portable(each, parts) for each in node]
    if not isinstance(node, dict):
        return node
    for name, part in node.get("$defs", {}).items():
        parts[name] = _portable(part, parts)
    return {
        # A property may be called `pattern`: then it has a schema.
        key: _ecma(value) if key == "pattern" and isinstance(value, str) else _portable(value, parts)
        for key, value in node.items()
        if key != "$defs"
    }


def _ecma(pattern: str) -> str:
    return pattern.replace(r"\A", "^").replace(r"\Z", "$")


def _flowing(text: str) -> str:
    return " ".join(text.split())

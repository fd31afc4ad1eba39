"""The target's OpenAPI document: all that is served stands in it, and what is answered is as it says."""

from __future__ import annotations

import asyncio
import json
import re

import httpx
import pytest
from fuzzing import damaged
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from inside import application
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from serving import HEADERS, POLICY, serving

from target.answers import BODY_LIMIT
from target.app import ROUTES
from target.counts import RECORDS
from target.prover import BusyError, Solution
from target.store import StoreUnavailableError

ACTION = {"subject": {"role": "auditor"}, "action": "read", "resource": "records/7", "context": {"hour": 9}}
SUBMITTED = {
    "actor": "clerk",
    "action": "read",
    "resource": "records/7",
    "attributes": {"hour": 9, "tags": ["a", 1, True]},
    "justification": "The yearly audit asks for it.",
}
PRINCIPLE = {
    "name": "Nobody reads at night",
    "weight": 2,
    "required_attributes": ["attributes.hour"],
    "prohibited_patterns": [{"attribute": "resource", "pattern": "secrets/*"}],
    "prohibited_conditions": [{"attribute": "attributes.hour", "operator": "less_than", "value": 6}],
}
VARIABLES = {"x": {"type": "integer", "minimum": 0, "maximum": 9}, "p": {"type": "boolean"}}
OBLIGATION = {
    "variables": VARIABLES,
    "assumptions": [["implies", "p", ["<", "x", 5]]],
    "goal": ["<=", "x", 8],
}
CONSTRAINTS = {"variables": VARIABLES, "constraints": ["p", ["<", "x", 5]]}
ENTRY = {"actor": "clerk", "action": "read", "payload": {"record": 7}}
IDS = {"id": 1, "row": 1}
LOGIN = {"name": "ada", "password": "correct horse"}
OTHER_LOGIN = {"name": "bob", "password": "battery staple"}
SECOND = {
    "tenants.create": {"name": "second"},
    "survival.register": OTHER_LOGIN,
    "survival.login": OTHER_LOGIN,
}
"""What is done for another once it is done: whose token is refused."""

GOOD = [
    ("gateway.health", {}),
    ("gateway.counts", {"params": {"run": "seen"}}),
    ("gateway.metrics", {}),
    ("gateway.resources", {}),
    ("gateway.openapi", {}),
    ("switches.read", {}),
    ("switches.change", {"json": {"slow": "0s", "errors": 0}}),
    ("governance.create", {"json": POLICY}),
    ("governance.page", {}),
    ("governance.page", {"params": {"offset": 0, "limit": 5, "resource": POLICY["resource"]}}),
    ("governance.read", {}),
    ("governance.update", {"json": {"policy": POLICY, "if_version": 1}}),
    ("governance.decisions", {"json": ACTION}),
    ("governance.decisions", {"json": {**ACTION, "resource": "else"}}),
    ("tenants.create", {"json": {"name": "first"}}),
    ("tenants.add_row", {"json": {"fields": {"a": 1, "b": ["x"]}}}),
    ("tenants.list_rows", {"params": {"limit": 1}}),
    ("tenants.read_row", {}),
    ("tenants.read_configuration", {}),
    ("tenants.configure", {"json": {"configuration": {"colour": "red"}, "if_version": 1}}),
    ("audit.append", {"json": ENTRY}),
    ("audit.entries", {"params": {"from": 1}}),
    ("audit.verify", {}),
    ("audit.head", {}),
    ("audit.key", {}),
    ("compliance.create", {"json": PRINCIPLE}),
    ("compliance.every", {}),
    ("compliance.compliance", {"json": SUBMITTED}),
    ("compliance.compliance", {"json": {**SUBMITTED, "attributes": {"hour": 3}, "resource": "secrets/7"}}),
    ("compliance.verify", {"params": {"hash": "0"}}),
    ("formal.prove", {"json": OBLIGATION}),
    ("formal.prove", {"json": {**OBLIGATION, "goal": ["<=", "x", 3]}}),
    ("formal.constraints", {"json": CONSTRAINTS}),
    ("formal.constraints", {"json": {**CONSTRAINTS, "constraints": ["p", ["not", "p"]]}}),
    ("heavy_load.write", {"json": {"topic": "rivers", "words": 5}}),
    ("heavy_load.state", {}),
    ("heavy_load.clean", {}),
    ("survival.health", {}),
    ("survival.register", {"json": LOGIN}),
    ("survival.login", {"json": LOGIN}),
    ("survival.read_profile", {}),
    ("survival.change_profile", {"json": {"profile": {"colour": "red"}, "if_version": 1}}),
    ("survival.add_note", {"json": {"text": "a note"}}),
    ("survival.list_notes", {"params": {"limit": 1}}),
]
"""In an order in which each finds what it asks for."""
REFUSED = [
    ("governance.read", {"id": 10**6}, {}, 404),
    ("governance.update", {"id": "x"}, {"json": {"policy": POLICY}}, 404),
    ("governance.update", {}, {"json": {"policy": POLICY, "if_version": 77}}, 409),
    ("governance.decisions", {"id": 10**6}, {"json": ACTION}, 404),
    ("tenants.read_row", {"row": 10**6}, {}, 404),
    ("tenants.configure", {}, {"json": {"configuration": {}, "if_version": 77}}, 409),
    ("audit.verify", {}, {"params": {"from": 10**6}}, 404),
    ("compliance.create", {}, {"json": PRINCIPLE}, 409),
    ("formal.prove", {}, {"json": {**OBLIGATION, "goal": "nobody"}}, 422),
    ("gateway.counts", {}, {"params": {"run": "quiet"}}, 410),
    ("survival.register", {}, {"json": LOGIN}, 409),
    ("survival.login", {}, {"json": {**LOGIN, "password": "correct mule"}}, 401),
    ("survival.change_profile", {}, {"json": {"profile": {}, "if_version": 77}}, 409),
]


class Document:
    """The document as the target serves it, with its operations by their ids."""

    def __init__(self, content) -> None:
        self.content = content
        self.components = closed(content["components"])
        self.operations = {
            operation["operationId"]: (method.upper(), path, operation)
            for path, methods in content["paths"].items()
            for method, operation in methods.items()
        }

    def resolved(self, node):
        while "$ref" in node:
            found = self.content
            for key in node["$ref"].removeprefix("#/").split("/"):
                found = found[key]
            node = found
        return node

    def parameters(self, identity) -> dict[str, dict]:
        found = [self.resolved(each) for each in self.operations[identity][2].get("parameters", [])]
        return {each["name"]: each for each in found}

    def validator(self, schema) -> Draft202012Validator:
        return Draft202012Validator({**closed(schema), "components": self.components})

    def body_validator(self, identity) -> Draft202012Validator:
        body = self.operations[identity][2]["requestBody"]
        return self.validator(body["content"]["application/json"]["schema"])

    def check(self, identity, answer: httpx.Response) -> None:
        """The answer's status is declared; its headers, media type and body are as they are declared."""
        declared = self.resolved(self.operations[identity][2]["responses"][str(answer.status_code)])
        for name, header in declared["headers"].items():
            assert name in answer.headers or not self.resolved(header)["required"]
        [(media, content)] = declared["content"].items()
        assert answer.headers["Content-Type"].split(";")[0] == media
        self.validator(content["schema"]).validate(
            answer.json() if media == "application/json" else answer.text
        )


def closed(node):
    """The schema without room for fields that it does not name: an answer must not have any."""
    if isinstance(node, list):
        return [closed(each) for each in node]
    if not isinstance(node, dict):
        return node
    inner = {key: closed(value) for key, value in node.items()}
    return {"additionalProperties": False, **inner} if "properties" in node else inner


def path_of(template: str, ids) -> str:
    return template.format(**{**IDS, **ids})


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    with serving(folder=tmp_path_factory.mktemp("openapi")) as served:
        yield served


@pytest.fixture(scope="module")
def document(target):
    return Document(httpx.get(target.url + "/openapi.json").raise_for_status().json())


@pytest.fixture(scope="module")
def answered(target, document):
    """Every answer of a run that does each operation well and in each wrong way: (operation, answer)."""
    answers: list[tuple[str, httpx.Response]] = []
    tokens: dict[str, list[str]] = {"TenantToken": [], "UserToken": []}
    with httpx.Client(base_url=target.url, timeout=30) as client:

        def ask(identity, options, ids=(), headers=HEADERS, token=0) -> httpx.Response:
            method, template, operation = document.operations[identity]
            if "security" in operation and token is not None:
                [scheme] = operation["security"][0]
                headers = {**headers, "Authorization": f"Bearer {tokens[scheme][token]}"}
            path = path_of(template, dict(ids))
            answer = client.request(method, path, headers=headers, **options)
            answers.append((identity, answer))
            return answer

        for identity, options in GOOD:
            answer = ask(identity, options)
            assert answer.is_success, (identity, answer.text)
            if identity in SECOND:
                others = ask(identity, {"json": SECOND[identity]})
                if "token" in answer.json():
                    scheme = "TenantToken" if identity == "tenants.create" else "UserToken"
                    tokens[scheme] += [answer.json()["token"], others.json()["token"]]
        client.get("/gateway/health", headers={"Loadproof-Run": "quiet"})
        for number in range(RECORDS):
            client.get("/gateway/health", headers={"Loadproof-Run": str(number)})
        for identity, ids, options, status in REFUSED:
            assert ask(identity, options, ids).status_code == status, identity
        for identity, options in dict(GOOD).items():
            named = document.parameters(identity)
            if "X-Constitutional-Hash" in named:
                assert ask(identity, options, headers={}).status_code == 400
                other = {"X-Constitutional-Hash": "another"}
                assert ask(identity, options, headers=other).status_code == 412
            else:
                # What was done once may not be done again.
                assert ask(identity, options, headers={}).status_code in {200, 201, 409}
            bad_run = ask(identity, options, headers={**HEADERS, "Loadproof-Run": "two words"})
            assert (bad_run.status_code == 400) == ("Loadproof-Run" in named)
            queries = {name: "" for name, each in named.items() if each["in"] == "query"}
            if queries:
                assert ask(identity, {"params": queries}).status_code == 422
            if "requestBody" in document.operations[identity][2]:
                for content, status in (b"{", 400), (b"[]", 422), (b" " * (BODY_LIMIT + 1), 413):
                    assert ask(identity, {"content": content}).status_code == status
            if "security" in document.operations[identity][2]:
                assert ask(identity, options, token=None).status_code == 401
                assert ask(identity, options, token=1).status_code == 403
    return answers


def in_process(folder, store, operations, client="127.0.0.1", prepare=lambda state: None):
    """The answers of an application with this store to `operations` ({id: (method, path, options)})."""
    app = application(folder, store)
    prepare(app._app._app.state)
    transport = httpx.ASGITransport(app, client=(client, 1), raise_app_exceptions=False)

    async def ask():
        headers = {**HEADERS, "Authorization": "Bearer token"}
        async with httpx.AsyncClient(transport=transport, base_url="http://t", headers=headers) as asking:
            return {
                identity: await asking.request(method, path, **options)
                for identity, (method, path, options) in operations.items()
            }

    return asyncio.run(ask())


def good_operations(document):
    return {
        identity: (document.operations[identity][0], path_of(document.operations[identity][1], {}), options)
        for identity, options in dict(GOOD).items()
    }


def test_every_route_stands_in_the_document_and_nothing_else(document):
    """Operations are the application's routes, each with a summary and with the parameters of its path."""
    served = {(method, route.path) for route in ROUTES for method in route.methods - {"HEAD"}}
    shown = {(method, path) for method, path, _ in document.operations.values()}

    assert shown == served
    assert len(document.operations) == len(ROUTES)
    for identity, (_, path, operation) in document.operations.items():
        assert operation["summary"]
        in_path = {name for name, each in document.parameters(identity).items() if each["in"] == "path"}
        assert in_path == set(re.findall(r"{(\w+)}", path))


def test_the_document_is_valid(document):
    """It is OpenAPI 3.1 whose schemas are JSON Schema, and every pattern is one that ECMA-262 knows."""
    OpenAPIV31SpecValidator(document.content).validate()
    for schema in document.content["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    text = json.dumps(document.content)

    assert document.content["openapi"].startswith("3.1.")
    assert '"pattern": "^' in text
    assert not re.search(r'"pattern": "[^"]*\\\\[AZz]', text)


def test_every_answer_is_as_the_document_says(document, answered):
    """Good and bad calls of every operation: status, headers and body, and no field that is not declared."""
    for identity, answer in answered:
        document.check(identity, answer)


def test_declared_statuses_are_those_that_occur(document, answered):
    """No operation declares a refusal that it cannot be brought to; 500, 503, 504 and a foreign peer's 403 apart."""
    for identity, (_, _, operation) in document.operations.items():
        occurred = {answer.status_code for each, answer in answered if each == identity}
        elsewhere = {500, 503, 504} | ({403} if identity.startswith("switches.") else set())

        assert occurred == set(map(int, operation["responses"])) - elsewhere, identity


def test_a_foreign_peer_is_refused_as_declared(document, tmp_path):
    """The switches' 403 has the form that the document gives it."""
    operations = {
        identity: operation
        for identity, operation in good_operations(document).items()
        if identity.startswith("switches.")
    }

    for identity, answer in in_process(tmp_path, None, operations, client="192.0.2.1").items():
        assert answer.status_code == 403
        document.check(identity, answer)


class BrokenStore:
    """Fails every call in one way."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def ping(self):
        raise self._error

    async def read(self, *_):
        raise self._error

    async def size(self):
        raise self._error

    async def write(self, *_):
        raise self._error


def test_a_lost_store_is_answered_as_declared(document, tmp_path):
    """Whatever needs the store answers 503 in the declared form, and what never does is the gateway or a proof."""
    store = BrokenStore(StoreUnavailableError("gone"))

    answers = in_process(tmp_path, store, good_operations(document))

    for identity, answer in answers.items():
        document.check(identity, answer)
    unmoved = {identity for identity, answer in answers.items() if answer.status_code != 503}
    assert unmoved == {
        *("gateway.counts", "gateway.metrics", "gateway.resources", "gateway.openapi"),
        *("switches.read", "switches.change"),
        *("formal.prove", "formal.constraints", "survival.health"),
        *("heavy_load.write", "heavy_load.state", "heavy_load.clean"),
    }


@pytest.mark.parametrize("trouble", [BusyError(), Solution(None, None, 1)])
def test_a_prover_in_trouble_is_answered_as_declared(document, tmp_path, trouble):
    """A full queue and a problem that takes too long are 503 in the declared form."""

    class Troubled:
        async def solve(self, _):
            if isinstance(trouble, Exception):
                raise trouble
            return trouble

    def prepare(state):
        state.prover = Troubled()

    proofs = {
        identity: operation
        for identity, operation in good_operations(document).items()
        if identity.startswith("formal.")
    }
    for identity, answer in in_process(tmp_path, None, proofs, prepare=prepare).items():
        assert answer.status_code == 503
        document.check(identity, answer)


def test_a_defect_is_answered_as_declared(document, tmp_path):
    """An exception that nobody foresaw becomes the declared 500."""
    store = BrokenStore(LookupError("a defect"))

    answers = in_process(tmp_path, store, good_operations(document))

    assert sum(answer.status_code == 500 for answer in answers.values()) > len(answers) / 2
    for identity, answer in answers.items():
        document.check(identity, answer)


def test_switched_errors_are_declared_and_spare_the_document(target, document):
    """Under `errors` every governance operation answers its declared 500; the document is as it was."""
    with target.client() as client:
        client.put("/switches", json={"errors": 1, "wrong_hash": 9})
        try:
            answers = {
                identity: client.request(method, path, **options)
                for identity, (method, path, options) in good_operations(document).items()
                if not identity.startswith(("gateway.", "switches."))
            }
            again = client.get("/openapi.json").json()
        finally:
            client.put("/switches", json={"errors": 0, "wrong_hash": 0})

    assert again == document.content
    for identity, answer in answers.items():
        assert answer.status_code == 500
        document.check(identity, answer)


def test_the_document_is_not_counted(target):
    """Reading the document is no request of a run."""
    with target.client() as client:
        client.get("/openapi.json", headers={"Loadproof-Run": "reader"})

        assert client.get("/counts", params={"run": "reader"}).json()["total"] == 0


def test_only_parameters_without_a_default_are_required(document):
    """Of all query parameters, only those without a default are required."""
    required = {
        (identity, name)
        for identity in document.operations
        for name, each in document.parameters(identity).items()
        if each["in"] == "query" and each["required"]
    }

    assert required == {("gateway.counts", "run"), ("compliance.verify", "hash")}


BODIES = {identity: options["json"] for identity, options in GOOD if "json" in options}


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_what_the_document_refuses_the_target_refuses(document, checked_client, data):
    """A body that the schema does not take is never carried out, and a good one is taken by the schema."""
    client, tokens = checked_client
    identity = data.draw(st.sampled_from(sorted(BODIES.keys() - {"switches.change"})))
    body = data.draw(st.one_of(st.just(BODIES[identity]), damaged(BODIES[identity])))
    method, template, _ = document.operations[identity]
    content = json.dumps(body).encode()

    answer = client.request(
        method,
        path_of(template, {}),
        content=content,
        headers={"Authorization": f"Bearer {tokens['survival' in identity]}"},
    )

    document.check(identity, answer)
    fits = document.body_validator(identity).is_valid(body)
    # As texts: in Python 0 equals False.
    if content == json.dumps(BODIES[identity]).encode():
        assert fits
    if not fits:
        assert answer.status_code in {400, 422}, answer.text


@pytest.fixture(scope="module")
def checked_client(tmp_path_factory):
    """A client of a fresh target with a policy, and the tokens of its first tenant and its first user."""
    with serving(folder=tmp_path_factory.mktemp("refusing")) as served, served.client() as client:
        client.post("/policies", json=POLICY)
        client.post("/users", json=LOGIN)
        logins = client.post("/tenants", json={"name": "first"}), client.post("/sessions", json=LOGIN)
        yield client, [each.json()["token"] for each in logins]

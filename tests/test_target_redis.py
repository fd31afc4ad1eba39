"""Redis holds what may be forgotten: with it, without it, and while it comes and goes, every answer is the same."""

from __future__ import annotations

import asyncio
import re
import signal

import pytest
import redis as client_library
from commands import wait_until
from inside import inside
from serving import HASH, freeze, serving

from loadproof.errors import UsageError
from target import redis_cache
from target.databases import redis_url

LOOKUP = re.compile(r'target_cache_lookups_total\{cache="(\w+)",outcome="(\w+)"\} (\d+)')


def lookups(metrics: str) -> dict[str, list[int]]:
    """By cache: hits, misses, errors."""
    found: dict[str, list[int]] = {}
    for cache, _, count in LOOKUP.findall(metrics):
        found.setdefault(cache, []).append(int(count))
    return found


def bearer(tenant) -> dict[str, str]:
    return {"Authorization": f"Bearer {tenant['token']}"}


@pytest.fixture
def redis(databases):
    """It is there again at the end, empty, whatever became of it."""
    if databases.redis.process.poll() is None:
        client_library.Redis.from_url(databases.redis.url).flushall()
    yield databases.redis
    if databases.redis.process.poll() is not None:
        databases.redis.start()


@pytest.fixture
def restless(monkeypatch):
    """Redis is left alone for no time after it failed."""
    monkeypatch.setattr(redis_cache, "REST_S", 0.0)


async def made(client, name="t"):
    """A tenant with one row."""
    tenant = (await client.post("/tenants", json={"name": name})).json()
    path = f"/tenants/{tenant['id']}/rows"
    await client.post(path, json={"fields": {"name": name}}, headers=bearer(tenant))
    return tenant, path


def test_processes_share_sessions_and_answers(tmp_path, redis):
    """What one process remembers or reads, another one finds: hits where two memories would have missed."""

    async def told():
        async with inside(tmp_path, 2, redis=redis.url) as (one, two):
            tenant, path = await made(one)
            before = lookups((await one.get("/metrics")).text)
            bodies = [(await client.get(path, headers=bearer(tenant))).content for client in (one, two)]
            bodies.append((await two.get(f"{path}/1", headers=bearer(tenant))).content)
            return before, bodies, lookups((await two.get("/metrics")).text)

    before, bodies, after = asyncio.run(told())

    assert before == {"sessions": [1, 0, 0], "reads": [0, 0, 0]}
    assert bodies[0] == bodies[1]
    assert after == {"sessions": [4, 0, 0], "reads": [2, 1, 0]}


def test_without_redis_the_store_answers_and_with_it_again(tmp_path, redis, restless):
    """Stopped, every look is an error and every answer is right; started, what was missed is filled in and found."""

    async def told():
        async with inside(tmp_path, redis=redis.url) as (client,):
            tenant, path = await made(client)

            async def seen():
                answers = [await client.get(each, headers=bearer(tenant)) for each in (path, f"{path}/1")]
                assert {answer.status_code for answer in answers} == {200}
                return [answer.content for answer in answers]

            bodies = [await seen()]
            before = lookups((await client.get("/metrics")).text)
            redis.stop(signal.SIGKILL)
            bodies.append(await seen())
            without = lookups((await client.get("/metrics")).text)
            refused = await client.get(path, headers={"Authorization": "Bearer nobody's"})
            redis.start()
            bodies += [await seen(), await seen()]
            return before, without, refused, bodies, lookups((await client.get("/metrics")).text)

    before, without, refused, bodies, after = asyncio.run(told())

    assert without == {
        "sessions": [before["sessions"][0], 0, 2],
        "reads": [before["reads"][0], before["reads"][1], 2],
    }
    assert refused.status_code == 401
    assert bodies[1:] == bodies[:1] * 3
    # It came back empty: one miss for the session and each of the two answers, then hits.
    assert [now - then for now, then in zip(after["sessions"], without["sessions"], strict=True)] == [3, 1, 1]
    assert [now - then for now, then in zip(after["reads"], without["reads"], strict=True)] == [2, 2, 0]


def test_a_redis_that_does_not_answer_delays_and_no_more(tmp_path, redis, restless, monkeypatch):
    """One that stands still costs its moment: the answer is the store's, and the look an error."""
    # Not so short that one which is well is ever late on a busy machine.
    monkeypatch.setattr(redis_cache, "ANSWER_S", 0.5)

    async def told():
        async with inside(tmp_path, redis=redis.url) as (client,):
            tenant, path = await made(client)
            freeze(redis.process.pid)
            try:
                answer = await client.get(f"{path}/1", headers=bearer(tenant))
                made_meanwhile = await client.post(path, json={"fields": {}}, headers=bearer(tenant))
            finally:
                redis.process.send_signal(signal.SIGCONT)
            again = await client.get(f"{path}/2", headers=bearer(tenant))
            return answer, made_meanwhile, again, lookups((await client.get("/metrics")).text)

    answer, made_meanwhile, again, counted = asyncio.run(told())

    assert answer.json()["fields"] == {"name": "t"}
    assert (made_meanwhile.status_code, again.status_code) == (201, 200)
    assert again.json()["fields"] == {}
    assert counted["sessions"][2] == 2
    assert counted["reads"][2] == 1


def test_a_redis_that_failed_is_left_alone_for_a_while(tmp_path, redis, monkeypatch):
    """Until its rest is over nobody asks it, also when it is back: each look is an error at once."""
    monkeypatch.setattr(redis_cache, "REST_S", 3600.0)

    async def told():
        async with inside(tmp_path, redis=redis.url) as (client,):
            tenant, path = await made(client)
            redis.stop(signal.SIGKILL)
            await client.get(path, headers=bearer(tenant))
            redis.start()
            for _ in range(3):
                assert (await client.get(path, headers=bearer(tenant))).status_code == 200
            return lookups((await client.get("/metrics")).text)

    assert asyncio.run(told()) == {"sessions": [1, 0, 4], "reads": [0, 0, 4]}
    assert client_library.Redis.from_url(redis.url).dbsize() == 0


def test_another_store_shares_nothing(tmp_path, redis):
    """Two stores on one Redis, with the same ids in both, never see an answer or a session of the other."""

    async def told():
        seen = []
        for name in ("first", "second"):
            (tmp_path / name).mkdir()
            async with inside(tmp_path / name, redis=redis.url) as (client,):
                tenant, path = await made(client, name)
                for each in (path, f"{path}/1"):
                    answer = await client.get(each, headers=bearer(tenant))
                    seen.append((each, re.findall("first|second", answer.text)))
        return seen

    assert asyncio.run(told()) == [
        (path, [name]) for name in ("first", "second") for path in ("/tenants/1/rows", "/tenants/1/rows/1")
    ]


def test_another_constitution_shares_nothing(tmp_path, redis):
    """A target that is started anew with another hash names that one in every answer, also in cached ones."""
    options = ["--store", f"sqlite://{tmp_path}/kept.db", "--redis", redis.url]
    with serving(*options, folder=tmp_path) as served, served.client() as client:
        tenant = client.post("/tenants", json={"name": "t"}).json()
        path = f"/tenants/{tenant['id']}/rows"
        client.post(path, json={"fields": {}}, headers=bearer(tenant))
        assert client.get(path, headers=bearer(tenant)).json()["constitutional_hash"] == HASH
    with serving(*options, folder=tmp_path, CONSTITUTIONAL_HASH="another") as served:
        headers = {**bearer(tenant), "X-Constitutional-Hash": "another"}
        with served.client() as client:
            answers = [client.get(each, headers=headers) for each in (path, f"{path}/1")]

    assert [answer.json()["constitutional_hash"] for answer in answers] == ["another"] * 2


def test_a_target_starts_without_its_redis(tmp_path, redis):
    """Redis need not be there at the start either; it is used once it is."""
    redis.stop(signal.SIGKILL)
    hurried = "from target import redis_cache\nredis_cache.REST_S = 0.0"
    with serving("--redis", redis.url, folder=tmp_path, before=hurried) as served, served.client() as client:
        tenant = client.post("/tenants", json={"name": "t"}).json()
        rows = f"/tenants/{tenant['id']}/rows"
        assert client.get(rows, headers=bearer(tenant)).status_code == 200
        redis.start()

        def hits() -> int:
            assert client.get(rows, headers=bearer(tenant)).status_code == 200
            return lookups(client.get("/metrics").text)["reads"][0]

        wait_until(hits)


@pytest.mark.parametrize(
    "url",
    [
        *("redis://:hidden@host:6379/0", "redis://user:hidden@host/0", "redis://host/0?password=hidden"),
        *("rediss://hidden", "host:6379", "redis://", "redis://host:port/0", "redis://hidden@host/0"),
    ],
)
def test_a_wrong_url_is_refused_without_being_repeated(url):
    """Whatever is not redis://HOST:PORT/DATABASE is refused in words that do not have it."""
    with pytest.raises(UsageError, match="redis://HOST:PORT/0") as refused:
        redis_url(url)

    assert "hidden" not in str(refused.value)


@pytest.mark.parametrize("url", [None, "redis://redis", "redis://127.0.0.1:6379/0", "redis://[::1]:6379/15"])
def test_a_right_url_is_taken(url):
    """A name or an address, a port and a database."""
    assert redis_url(url) == url

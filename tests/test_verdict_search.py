"""The search for a capacity as a function of words: what it tries, when it is content, and what it claims."""

from math import log

import pytest
from hypothesis import given
from hypothesis import strategies as st
from queueing import Queue

from loadproof.verdict.search import RISE, Asked, Ending, Probe, Search, Word, replayed

SETTLE_S, HOLD_S = 5, 30
LIMIT_S = 0.1
RATE = 200.0


def searched(asked, outcome):
    """A search whose every probe of a level goes as `outcome(level, number)` says."""
    search = Search(asked)
    while search.level is not None:
        assert 1 <= asked.lowest <= search.level <= asked.highest
        search.tell(outcome(search.level, len(search.probes)))
    return search


def sharp(capacity):
    return lambda level, _: Word.HELD if level <= capacity else Word.BROKE


def search_queue(queue, asked):
    """Judge each probe of a simulated target by its P95 and its errors."""

    def probe(level, _number):
        queue.load(level, SETTLE_S)
        seen = queue.load(level, HOLD_S)
        return Word.HELD if seen.p95 <= LIMIT_S and seen.errors <= 0.01 else Word.BROKE

    return searched(asked, probe)


def knee(rate):
    """Of M/M/1 the load at which the P95 of the response time, exponential at rate minus load, is the limit."""
    return rate - log(20) / LIMIT_S


def refusing(rate, room):
    """Of M/M/1/K the load of which 1 % is refused, where latency is no matter, by bisection of its closed form."""
    low, high = 0.0, rate
    while high - low > 1e-6:
        load = (low + high) / 2
        p, places = load / rate, room + 1
        refused = (1 - p) * p**places / (1 - p ** (places + 1))
        low, high = (load, high) if refused < 0.01 else (low, load)
    return low


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("shape", ["cliff", "knee", "leak"])
def test_the_capacity_of_a_known_target_is_found_within_5_percent(shape, seed):
    """A target that refuses, one that slows down and one that loses capacity, with noise, in three seeds each."""
    match shape:
        case "cliff":
            queue = Queue(RATE, seed, room=12)
            capacity = refusing(RATE, 12)
        case "knee":
            queue = Queue(RATE, seed)
            capacity = knee(RATE)
        case _:
            queue = Queue(RATE, seed, leak=2e-4)
            capacity = None
    search = search_queue(queue, Asked(5, 600, 0.05, 2))
    found = search.found()
    capacity = knee(queue.rate) if capacity is None else capacity

    assert found.ending is Ending.FOUND
    assert found.recovered
    assert found.capacity == pytest.approx(capacity, rel=0.05)
    # One interval of twenty misses: how often is counted below.
    assert 0.98 * found.low <= capacity <= 1.02 * found.high
    assert found.high - found.low <= 0.16 * capacity
    assert found.sinks is (shape == "leak")


@pytest.mark.long
@pytest.mark.parametrize("shape", ["cliff", "knee"])
def test_the_interval_holds_the_capacity_nearly_always(shape):
    """In 60 seeds the capacity lies in the interval at least 55 times, and the load named is 5 % off at most 5 times."""
    capacity = refusing(RATE, 12) if shape == "cliff" else knee(RATE)
    hits = near = 0
    for seed in range(100, 160):
        queue = Queue(RATE, seed, room=12 if shape == "cliff" else None)
        found = search_queue(queue, Asked(5, 600, 0.05, 2)).found()
        hits += found.low <= capacity <= found.high
        near += abs(found.capacity - capacity) <= 0.05 * capacity
    assert hits >= 55
    assert near >= 55


@given(st.integers(1, 40), st.integers(2, 3_000), st.integers(1, 4_000), st.integers(1, 4))
def test_without_noise_it_is_found_to_the_precision(lowest, highest, capacity, confirm):
    """Whatever the loads: within the precision or one whole load, inside its interval, and with as many repeats."""
    lowest = min(lowest, highest)
    search = searched(Asked(lowest, highest, 0.05, confirm), sharp(capacity))
    found = search.found()

    if capacity < lowest:
        assert (found.ending, found.capacity) == (Ending.LOWEST_BREAKS, None)
        return
    if capacity >= highest:
        assert (found.ending, found.capacity, found.high) == (Ending.CEILING, highest, None)
        assert found.recovered is None
    else:
        assert found.capacity <= capacity
        assert capacity - found.capacity <= max(1, 0.1 * capacity)
        assert found.low <= capacity <= found.high
        assert found.recovered
    assert found.confirmed >= confirm
    assert len(search.probes) <= 45


@given(st.integers(20, 900), st.integers(0, 30))
def test_one_wrong_probe_decides_nothing(capacity, number):
    """With the word of any one probe turned around it is still found, and not one load above it is named."""

    def turned(level, at):
        word = sharp(capacity)(level, at)
        return word if at != number else Word.BROKE if word is Word.HELD else Word.HELD

    found = searched(Asked(10, 2_000, 0.05, 2), turned).found()
    assert found.capacity == pytest.approx(capacity, rel=0.1, abs=1)
    assert not found.sinks


@given(st.integers(1, 500), st.randoms(use_true_random=False))
def test_it_climbs_by_doubling_and_goes_down_at_once(capacity, random):
    """Nothing is tried above twice the highest load that held; after a break the next load is lower."""

    def noisy(level, _):
        wrong = random.random() < 0.1
        return Word.HELD if (level <= capacity) is not wrong else Word.BROKE

    search = searched(Asked(4, 1_000, 0.05, 2), noisy)
    for number, probe in enumerate(search.probes):
        held = [known.level for known in search.probes[:number] if known.word is Word.HELD]
        broke = [known for known in search.probes[:number] if known.word is Word.BROKE]
        if not broke:
            assert probe.level <= RISE * max(held, default=2)
        elif search.probes[number - 1].word is Word.BROKE:
            assert probe.level < search.probes[number - 1].level or probe.level == 4


def test_a_target_that_never_gets_well_is_said_to_be_so():
    """After its first break nothing holds any more: no capacity is named."""
    search = searched(
        Asked(10, 1_000, 0.05, 2), lambda level, at: Word.HELD if level < 100 and at < 5 else Word.BROKE
    )
    found = search.found()
    assert (found.ending, found.capacity, found.recovered) == (Ending.NOT_RECOVERED, None, False)


def test_where_the_generator_is_the_limit_no_capacity_is_claimed():
    """Probes that say nothing are repeated, then their load is left: what held below is a bound, and said as one."""
    search = searched(Asked(10, 1_000, 0.05, 2), lambda level, _: Word.HELD if level < 100 else Word.NOTHING)
    found = search.found()
    assert found.ending is Ending.GENERATOR
    assert 80 <= found.capacity < 100
    assert found.high is None
    nothing = searched(Asked(10, 100, 0.05, 2), lambda *_: Word.NOTHING).found()
    assert (nothing.ending, nothing.capacity, nothing.low) == (Ending.GENERATOR, None, None)


@given(st.lists(st.sampled_from(list(Word)), max_size=40))
def test_the_same_words_give_the_same_search(words):
    """What was tried can be gone through again from the probes alone, to the same result, also when it was cut off."""
    search = Search(Asked(3, 300, 0.05, 2))
    for word in words:
        if search.level is None:
            break
        search.tell(word)
    search.give_up(Ending.TIME)
    again = replayed(search.asked, search.probes, search.ending)
    assert again.found() == search.found()
    assert again.ending is search.ending


def test_a_search_that_is_cut_off_claims_what_held():
    """Without its confirmation the capacity is the highest load that held, and the interval is wide."""
    search = replayed(
        Asked(10, 1_000, 0.05, 2),
        [Probe(10, Word.HELD), Probe(20, Word.HELD), Probe(40, Word.BROKE), Probe(20, Word.HELD)],
        Ending.TIME,
    )
    found = search.found()
    assert (found.capacity, found.ending) == (20, Ending.TIME)
    assert found.low <= 20 < found.high

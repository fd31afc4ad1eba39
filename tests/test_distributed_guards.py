"""Guards as tables of numbers: what is read each second, and which level trips when."""

import pytest

from distributed.guards import BLIND_US, FEWEST_REQUESTS, Guards, Reading, resources_of
from loadproof.plan.model import PARTS, Guard

SECOND = 1_000_000
MB = 10**6


class Plan:
    def __init__(self, *guards):
        self.guards = guards


def guarded(guard, seconds):
    """(second, name, level) of what trips, when each second brings these resources and this Reading's fields."""
    guards = Guards(Plan(guard))
    found = []
    for second, told in enumerate(seconds):
        for name, value in told.items():
            if "." in name:
                guards.sample(second * SECOND, name, value)
        whole = {"users": 0, "requests": 0, "failures": 0, "free_bytes": None} | {
            name: value for name, value in told.items() if "." not in name
        }
        trips = guards.look(Reading(second * SECOND, **whole))
        found += [(second, trip.guard, trip.level) for trip in trips]
    return found


@pytest.mark.parametrize(
    ("guard", "seconds", "trips"),
    [
        # the first reading at the level, and once
        (
            Guard(name="memory", stop=100 * MB),
            [{"generator.rss": size * MB} for size in (10, 99.9, 100, 200, 50, 200)],
            [(2, "generator.memory", "stop")],
        ),
        (
            Guard(name="memory", warn=50 * MB, stop=100 * MB),
            [{"generator.rss": 60 * MB, "target.rss": size * MB} for size in (10, 20, 120)],
            [(0, "generator.memory", "warn"), (2, "target.memory", "warn"), (2, "target.memory", "stop")],
        ),
        (Guard(name="target.memory", stop=1), [{"generator.rss": 5}], []),
        (Guard(name="memory", stop=1), [{}] * 3, []),
        # the mean of ten seconds; never before there are ten
        (Guard(name="cpu", stop=PARTS // 2), [{"target.cpu": 1.0}] * 10, []),
        (Guard(name="cpu", stop=PARTS // 2), [{"target.cpu": 0.5}] * 11, [(10, "target.cpu", "stop")]),
        (Guard(name="cpu", stop=PARTS // 2), [{"target.cpu": 0.4}] * 30 + [{"target.cpu": 1.0}], []),
        (
            Guard(name="cpu", stop=PARTS // 2),
            [{"target.cpu": 0.0}] * 11 + [{"target.cpu": 1.0}] * 11,
            [(16, "target.cpu", "stop")],
        ),
        # first to last of ten seconds
        (
            Guard(name="memory_growth", stop=10 * MB),
            [{"target.rss": second * 10 * MB} for second in range(20)],
            [(10, "target.memory_growth", "stop")],
        ),
        (
            Guard(name="memory_growth", stop=10 * MB),
            [{"target.rss": (second % 8) * 30 * MB} for second in range(60)],
            [],
        ),
        (
            Guard(name="memory_growth", stop=10 * MB),
            [{"target.rss": second * 9 * MB} for second in range(40)],
            [],
        ),
        # the whole run's
        (Guard(name="duration", stop=3 * SECOND), [{}] * 6, [(3, "duration", "stop")]),
        (Guard(name="users", stop=5), [{"users": count} for count in (4, 5, 6)], [(1, "users", "stop")]),
        (
            Guard(name="free_disk", stop=5),
            [{"free_bytes": size} for size in (6, 5, 4)],
            [(2, "free_disk", "stop")],
        ),
        (Guard(name="free_disk", stop=5), [{"free_bytes": None}] * 3, []),
        # of the requests of the last ten seconds
        (
            Guard(name="errors", stop=PARTS // 2),
            [
                {"requests": second * FEWEST_REQUESTS, "failures": second * FEWEST_REQUESTS // 2}
                for second in range(3)
            ],
            [(1, "errors", "stop")],
        ),
        (
            Guard(name="errors", stop=PARTS // 2),
            [{"requests": second, "failures": second} for second in range(FEWEST_REQUESTS)],
            [],
        ),
        (
            Guard(name="errors", stop=PARTS // 2),
            [{"requests": 1_000 * second, "failures": 5_000 * (second > 40)} for second in range(60)],
            [(41, "errors", "stop")],
        ),
        # a resource that nobody reads any more
        (
            Guard(name="target.memory", stop=PARTS * MB),
            [{"target.rss": MB}] * 3 + [{}] * 20,
            [(2 + BLIND_US // SECOND, "target.memory", "blind")],
        ),
    ],
)
def test_a_guard_trips_at_its_level(guard, seconds, trips):
    """Each level once, in the second in which it is reached, and not for what one second alone shows."""
    assert guarded(guard, seconds) == trips


def test_the_reason_names_value_and_level():
    """In units that a reader likes."""
    guards = Guards(Plan(Guard(name="target.memory", stop=2_000 * MB)))
    guards.sample(0, "target.rss", 2_500.0 * MB)
    [trip] = guards.look(Reading(0, 0, 0, 0, None))

    assert trip.why == "target.memory is 2.5 GB and has reached the level of 2 GB"


@pytest.mark.parametrize(
    ("name", "resources"),
    [
        ("memory", ["generator.rss", "target.rss"]),
        ("target.memory_growth", ["target.rss"]),
        ("generator.cpu", ["generator.cpu"]),
        ("users", []),
    ],
)
def test_what_a_guard_goes_by(name, resources):
    """The resources that somebody must read for it."""
    assert resources_of(Guard(name=name, stop=1)) == resources

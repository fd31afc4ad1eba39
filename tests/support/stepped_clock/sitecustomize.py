"""On SIGUSR1 the wall clock of this process is put STEP_S seconds on, or back, as if somebody had set it."""

import os
import signal
import sys
import time

STEP_S = int(os.environ.pop("STEP_S", "0"))
stepped = False


def step(*_signal):
    global stepped  # noqa: PLW0603 a signal handler has no other place
    stepped = True
    if (module := sys.modules.get("loadproof.client.connection")) is not None:
        # The kernel stamps what arrives by the same clock.
        slot = module.Connection.stamp_ns
        module.Connection.stamp_ns = property(
            lambda connection: (raw := slot.__get__(connection)) and raw + STEP_S * 10**9, slot.__set__
        )


def shifted(read, by):
    return lambda: read() + (by if stepped else 0)


def shifted_clock(read, by):
    def clock(which):
        return read(which) + (by if stepped and which == time.CLOCK_REALTIME else 0)

    return clock


if STEP_S:
    signal.signal(signal.SIGUSR1, step)
    time.time = shifted(time.time, STEP_S)
    time.time_ns = shifted(time.time_ns, STEP_S * 10**9)
    time.clock_gettime = shifted_clock(time.clock_gettime, STEP_S)
    time.clock_gettime_ns = shifted_clock(time.clock_gettime_ns, STEP_S * 10**9)

"""What one request asks beside the usual."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping


class Options:
    """What one call asks beside the usual; None means as the user class has it."""

    __slots__ = ("allow_redirects", "connect_ns", "context", "held", "read_ns", "stream")

    def __init__(self) -> None:
        self.connect_ns: int | None = None
        self.read_ns: int | None = None
        self.allow_redirects = True
        self.stream = False
        self.held = False
        """Whether a `with` block of the scenario will say what the answer counts as."""
        self.context: Mapping[str, Any] | None = None

    @classmethod
    def of(
        cls,
        timeout: float | tuple[float | None, float | None] | None,
        *,
        allow_redirects: bool,
        stream: bool,
        held: bool,
        context: Mapping[str, Any] | None,
    ) -> Options:
        """From the arguments of `request`; ValueError for a time-out that is no time."""
        options = cls()
        pair = timeout if isinstance(timeout, tuple) else (timeout, timeout)
        if len(pair) != 2 or any(seconds is not None and seconds <= 0 for seconds in pair):
            raise ValueError(f"timeout is {timeout!r}: give seconds above 0, or a pair (connect, read)")
        options.connect_ns, options.read_ns = (
            None if seconds is None else round(seconds * 1e9) for seconds in pair
        )
        options.allow_redirects = allow_redirects
        options.stream = stream
        options.held = held
        options.context = context
        return options


USUAL: Final = Options()

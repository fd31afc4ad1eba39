"""WebSocket frames (RFC 6455, section 5): the library's codec, and the rules that it leaves to others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from websocket import ABNF, WebSocketException, frame_buffer

from loadproof.errors import MalformedAnswerError

if TYPE_CHECKING:
    from collections.abc import Callable

LARGEST: Final = 64 * 1024 * 1024
"""Bytes of one message. A length beyond it is taken for a stranger's bytes, which would never be complete."""
NO_CODE: Final = 1005
"""RFC 6455, 7.4.1: what a closing frame without a code stands for."""
_LONGEST_CONTROL: Final = 125


class FrameReader(frame_buffer):
    """Reads frames by `take(size)`, which gives 1 to `size` bytes and may raise: then `read` goes on later."""

    def __init__(self, take: Callable[[int], bytes]) -> None:
        super().__init__(take, skip_utf8_validation=True)

    def read(self) -> ABNF:
        """The next frame, waiting for it; MalformedAnswerError for one that breaks the protocol."""
        try:
            return self.recv_frame()
        except WebSocketException as error:
            raise malformed(str(error)) from error

    def recv_header(self) -> None:
        super().recv_header()
        assert self.header is not None
        fin, *reserved, opcode, masked, length = self.header
        # At once, and not after the payload: bytes that are no frames tell of lengths that never come.
        if any(reserved) or opcode not in ABNF.OPCODES:
            raise malformed("a frame of no known kind")
        if masked:
            raise malformed("a masked frame")
        if opcode >= ABNF.OPCODE_CLOSE and (not fin or length > _LONGEST_CONTROL):
            raise malformed("a control frame in parts or too long")

    def recv_length(self) -> None:
        super().recv_length()
        if self.length is not None and self.length > LARGEST:
            raise malformed(f"a frame of more than {LARGEST >> 20} MiB")


class Message:
    """Puts the frames of one message together."""

    def __init__(self) -> None:
        self._opcode: int | None = None
        self._parts: list[bytes] = []
        self._size = 0

    def add(self, frame: ABNF) -> str | bytes | None:
        """Take a data frame; the message when it is whole. MalformedAnswerError for what is none."""
        if (frame.opcode == ABNF.OPCODE_CONT) == (self._opcode is None):
            raise malformed("a frame out of order")
        if self._opcode is None:
            self._opcode = frame.opcode
        part = frame.data if isinstance(frame.data, bytes) else frame.data.encode()
        self._parts.append(part)
        self._size += len(part)
        if self._size > LARGEST:
            raise malformed(f"a message of more than {LARGEST >> 20} MiB")
        if not frame.fin:
            return None
        opcode, whole = self._opcode, b"".join(self._parts)
        self.__init__()  # type: ignore[misc]
        if opcode == ABNF.OPCODE_BINARY:
            return whole
        try:
            return whole.decode()
        except UnicodeDecodeError as error:
            raise malformed("text that is no UTF-8") from error


def encode(opcode: int, payload: str | bytes) -> bytes:
    """A whole message in one masked frame, as a client sends it."""
    data = payload.encode() if isinstance(payload, str) else payload
    return ABNF.create_frame(data, opcode).format()


def close_code(frame: ABNF) -> int:
    return int.from_bytes(frame.data[:2], "big") if frame.data else NO_CODE  # type: ignore[arg-type]


def malformed(what: str) -> MalformedAnswerError:
    return MalformedAnswerError(f"the WebSocket breaks the protocol: {what}")

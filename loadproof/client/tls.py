"""TLS over a connection of our own, so that its bytes carry the kernel's stamps too."""

from __future__ import annotations

import ssl
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from loadproof.client.connection import RECEIVE_SIZE, Connection
from loadproof.errors import ConnectionLostError, TlsError, UsageError

if TYPE_CHECKING:
    from ssl import SSLContext, SSLSession

Certificate = str | tuple[str, str]


@lru_cache(maxsize=64)
def tls_context(verify: bool | str, certificate: Certificate | None) -> SSLContext:
    """One context for all connections of equal options: a context of its own costs each user 0.8 MB.

    `verify` is True for the system's authorities, False for none, or a file or folder of authorities.
    UsageError when a file of it cannot be read.
    """
    try:
        context = ssl.create_default_context()
        if isinstance(verify, str):
            _load_authorities(context, verify)
        elif not verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if certificate is not None:
            context.load_cert_chain(*((certificate,) if isinstance(certificate, str) else certificate))
    except (OSError, ssl.SSLError) as error:
        raise UsageError(
            f"TLS cannot be set up with verify={verify!r}, cert={certificate!r}: {error}"
        ) from error
    context.set_alpn_protocols(["http/1.1"])
    return context


def _load_authorities(context: SSLContext, path: str) -> None:
    try:
        context.load_verify_locations(cafile=path)
    except IsADirectoryError:
        context.load_verify_locations(capath=path)


class TlsConnection(Connection):
    """A connection whose bytes are encrypted; `shake_hands` comes between `open` and the first `send`."""

    __slots__ = ("_incoming", "_outgoing", "_tls")

    def __init__(self) -> None:
        super().__init__()
        self._incoming: Any = None
        self._outgoing: Any = None
        self._tls: Any = None

    def shake_hands(self, context: SSLContext, host: str, session: SSLSession | None) -> None:
        """Raise TlsError when there is no agreement; `session` is that of an earlier connection, to resume."""
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host, session=session)
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self._flush()
                try:
                    data = super().receive()
                except ConnectionLostError as error:
                    raise TlsError("TLS: the connection was lost during the handshake") from error
                if not data:
                    raise TlsError("TLS: the connection was closed during the handshake") from None
                self._incoming.write(data)
            except ssl.SSLCertVerificationError as error:
                self._flush()
                raise TlsError(f"TLS: the certificate is not trusted: {error.verify_message}") from error
            except ssl.SSLError as error:
                self._flush()
                raise TlsError(f"TLS: {_reason(error)}") from error
            else:
                self._flush()
                return

    @property
    def session(self) -> SSLSession | None:
        """To resume from in a later connection; with TLS 1.3 it is known after the first answer."""
        session = None if self._tls is None else self._tls.session
        return session if session is not None and session.has_ticket else None

    def send(self, data: bytes) -> memoryview | None:
        self._tls.write(data)
        return super().send(self._outgoing.read())

    def receive(self) -> bytes:
        while True:
            data = self.receive_once()
            if data is not None:
                return data

    def receive_once(self) -> bytes | None:
        data = super().receive()
        if not data:
            return b""
        self._incoming.write(data)
        plain = self._decrypted()
        return b"" if plain is None else plain or None

    def is_stale(self) -> bool:
        """A server may send session tickets at any time: only what is data or an end makes a connection stale."""
        if not super().is_stale():
            return False
        try:
            data = self._socket.recv(RECEIVE_SIZE)
            self._incoming.write(data)
            return not data or self._decrypted() != b""
        except (OSError, ConnectionLostError):
            return True

    def _decrypted(self) -> bytes | None:
        """All that can be read now; None at the end of the stream."""
        pieces = []
        try:
            while self._incoming.pending or self._tls.pending():
                piece = self._tls.read(RECEIVE_SIZE)
                if not piece:
                    break
                pieces.append(piece)
        except ssl.SSLWantReadError:
            pass
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            return b"".join(pieces) or None
        except ssl.SSLError as error:
            raise ConnectionLostError(f"TLS: {_reason(error)}") from error
        if self._outgoing.pending:
            self._flush()
        return b"".join(pieces)

    def _flush(self) -> None:
        if self._outgoing.pending:
            super().send(self._outgoing.read())


def _reason(error: ssl.SSLError) -> str:
    return (error.reason or "the other end does not speak it").lower().replace("_", " ")

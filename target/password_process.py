"""The child of `target.passwords`: reads a password's length in 4 bytes, its salt in 16 and itself, writes 32 bytes."""

from __future__ import annotations

import hashlib
import sys
from typing import Final

WORK: Final = 2**10
BLOCK: Final = 8
"""Of scrypt (RFC 7914): 128 * WORK * BLOCK is the memory, 1 MiB."""


def main() -> None:
    while len(head := sys.stdin.buffer.read(20)) == 20:
        password = sys.stdin.buffer.read(int.from_bytes(head[:4], "little"))
        digest = hashlib.scrypt(password, salt=head[4:], n=WORK, r=BLOCK, p=1, dklen=32)
        sys.stdout.buffer.write(digest)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()

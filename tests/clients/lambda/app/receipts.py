"""The small library that both functions use. `compromised/` holds what it becomes after the supply-chain attack."""

import hashlib


def reference(booking):
    return hashlib.sha256(repr(sorted(booking.items())).encode()).hexdigest()[:6].upper()

"""Whether the Collector behind the gateway wrote the same data as the one before it.

usage: compare.py BEFORE AFTER DEADLINE_SECONDS TRACES LOGS METRICS     (BEFORE, AFTER: folders with SIGNAL.jsonl)

An item is compared whole: its resource, its scope and every field. Order and batching are free to change, so each side
is a multiset. The last three arguments are the numbers sent, so that two empty files do not count as equal.
"""

import sys
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
import otlp_json


def side(folder: Path, signal: str) -> Counter:
    return Counter(otlp_json.text(*parts) for parts in otlp_json.items(folder / f"{signal}.jsonl", signal))


def main(before: Path, after: Path, seconds: float, sent: dict[str, int]) -> None:
    deadline = time.monotonic() + seconds
    for signal, n in sent.items():
        while True:
            expected, found = side(before, signal), side(after, signal)
            if expected.total() >= n and found.total() >= n or time.monotonic() > deadline:
                break
            time.sleep(0.2)
        if expected.total() != n:
            sys.exit(f"{signal}: the Collector before wrote {expected.total()} of {n}")
        lost, strange = expected - found, found - expected
        if lost or strange:
            sys.exit(
                f"{signal}: of {n}, {lost.total()} missing, {strange.total()} not as sent"
                + "".join(f"\n  missing: {each}" for each in list(lost)[:1])
                + "".join(f"\n  instead: {each}" for each in list(strange)[:1])
            )


main(Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]), dict(zip(otlp_json.SIGNALS, map(int, sys.argv[4:7]))))

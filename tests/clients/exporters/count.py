"""Compares what was sent with what the gateway wrote.

usage: count.py FOLDER DEADLINE_SECONDS < cases        (cases: lines of CASE SIGNAL N)

Waits until every case has at least its N items in FOLDER/SIGNAL.jsonl, then demands exactly N, each once.
"""

import sys
import time
from collections import Counter, defaultdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
import otlp_json

TOTAL = "items"


def seen(folder: Path) -> dict[str, Counter]:
    """For each case, how often each item was seen. An item that carries no number of its own is only counted."""
    cases = defaultdict(Counter)
    for signal in otlp_json.SIGNALS:
        for resource, _, item in otlp_json.items(folder / f"{signal}.jsonl", signal):
            case = cases[otlp_json.attributes(resource).get("test.case", "no test.case")]
            case[TOTAL] += 1
            case[identity(signal, item)] += 1
    return cases


def identity(signal: str, item: dict):
    if signal == "traces":
        return item["traceId"], item["spanId"]
    carrier = item
    if signal == "metrics":
        (carrier,) = next(item[kind] for kind in otlp_json.METRIC_KINDS if kind in item)["dataPoints"]
    return otlp_json.attributes(carrier).get("test.item")


def main(folder: Path, seconds: float) -> None:
    expected = {case: int(n) for case, _, n in map(str.split, sys.stdin)}
    deadline = time.monotonic() + seconds
    while True:
        found = seen(folder)
        if all(found[case][TOTAL] >= n for case, n in expected.items()) or time.monotonic() > deadline:
            break
        time.sleep(0.2)
    wrong = [f"{case}: {found[case][TOTAL]} of {n}" for case, n in expected.items() if found[case][TOTAL] != n]
    for case, counts in found.items():
        if case not in expected:
            wrong.append(f"{case}: {counts[TOTAL]} items that nobody sent")
        doubled = [key for key, times in counts.items() if times > 1 and key not in (TOTAL, None)]
        if doubled:
            wrong.append(f"{case}: {len(doubled)} items more than once, e.g. {doubled[0]}")
    if wrong:
        sys.exit("\n".join(wrong))
    print(f"{len(expected)} cases, {sum(expected.values())} items")


main(Path(sys.argv[1]), float(sys.argv[2]))

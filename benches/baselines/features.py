"""Observations as vectors, the same for every detector.

One model a function and kind of telemetry (spans, logs, what others recorded, metrics). What the training days showed
makes the vocabulary; a vector holds

- how often each of the 64 commonest keys was touched (log), and how many keys of each family were never seen in training;
- how surprising its keys and pairs of consecutive operations are, in bits by their share in training: the most and the
  sum, so that even a detector that ignores columns which never vary in training learns of what is new;
- all quantities (log; the median where absent), steps, calls in all, cold start, failure, completeness, time of day.

Columns are standardised on the training days and cut at 20 deviations.
"""

import json
import math
import warnings
from collections import Counter, defaultdict

import numpy as np

DAY = 86_400_000_000_000
FAMILIES, QUANTITIES, COMMON = 15, 17, 64
# Spans, logs, platform, services, metrics, changes.
KIND = (0, 1, 2, 2, 3, 2)


class Seen:
    """One observation."""

    __slots__ = ("at", "day", "function", "group", "keys", "pairs", "rest", "quantities", "score", "tier", "malicious")

    def __init__(self, line):
        self.at, self.function = line["at"], line["function"]
        self.day = self.at // DAY
        self.group = (self.function, KIND[line["channel"]])
        self.keys = [((family, name), count) for family, name, count in line["touches"]]
        steps = line["steps"]
        self.pairs = list(zip(["^"] + steps, steps + ["$"])) if steps else []
        hour = 2 * math.pi * (self.at % DAY) / DAY
        self.rest = (
            math.log1p(len(steps)),
            math.log1p(sum(count for _, count in self.keys)),
            float(line["cold"]),
            float(line["failed"]),
            float(line["complete"]),
            math.sin(hour),
            math.cos(hour),
        )
        self.quantities = line["quantities"]
        self.score, self.tier, self.malicious = line["score"], line["tier"], line["malicious"]


def read(path):
    """The observations of a file, by the attack they belong to (None: none), each in order of time."""
    found = defaultdict(list)
    with open(path) as lines:
        for line in lines:
            line = json.loads(line)
            found[line.get("attack")].append(Seen(line))
    for some in found.values():
        some.sort(key=lambda seen: seen.at)
    return found


class Vectors:
    """Learns what is usual of a group, then turns observations into vectors."""

    def __init__(self, training):
        self.n = len(training)
        keys, pairs = Counter(), Counter()
        for seen in training:
            keys.update({key for key, _ in seen.keys})
            pairs.update(set(seen.pairs))
        self.keys, self.pairs = keys, pairs
        self.place = {key: place for place, (key, _) in enumerate(keys.most_common(COMMON))}
        raw = self.raw(training)
        with warnings.catch_warnings():
            # Of a quantity that is never there the median is 0.
            warnings.simplefilter("ignore", RuntimeWarning)
            self.median = np.nan_to_num(np.nanmedian(raw, axis=0))
        raw = np.where(np.isnan(raw), self.median, raw)
        self.mean = raw.mean(axis=0)
        self.deviation = np.maximum(raw.std(axis=0), 0.05)

    def bits(self, counts, names):
        never = math.log2(self.n + 1) + 1
        return [math.log2((self.n + 1) / counts[name]) if name in counts else never for name in names] or [0.0]

    def raw(self, some):
        first, second = COMMON + FAMILIES, COMMON + FAMILIES + QUANTITIES
        out = np.zeros((len(some), second + 4 + 7))
        out[:, first:second] = np.nan
        for row, seen in zip(out, some):
            for key, count in seen.keys:
                place = self.place.get(key)
                if place is not None:
                    row[place] += math.log1p(count)
                elif key not in self.keys:
                    row[COMMON + key[0]] += 1
            for quantity, value in seen.quantities:
                row[first + quantity] = math.log1p(value)
            of_keys = self.bits(self.keys, [key for key, _ in seen.keys])
            of_pairs = self.bits(self.pairs, set(seen.pairs))
            row[second : second + 4] = max(of_keys), sum(of_keys), max(of_pairs), sum(of_pairs)
            row[second + 4 :] = seen.rest
        return out

    def of(self, some):
        raw = self.raw(some)
        raw = np.where(np.isnan(raw), self.median, raw)
        return np.clip((raw - self.mean) / self.deviation, -20, 20).astype(np.float32)

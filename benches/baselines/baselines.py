"""Who finds how many attacks at which rate of false pages.

    baselines.py FOLDER

FOLDER has what `sekisho evaluate --observations` wrote. Every fleet lives 28 ordinary days; then each attack happens in a
future of its own, and 14 more ordinary days show the false pages. Every baseline is fitted anew every 14 days on the 14 days
before, for each function and kind of telemetry (the LSTM autoencoder: one for the fleet), so it scores every day from the
15th on without having seen it. What a detector is given is in features.py.

- first seen: bits of keys that the function never touched, from its eighth day on; natively, any such key alarms.
- isolation forest (scikit-learn, 50 trees of 256); natively, its own 'auto' threshold.
- random cut forest (20 trees of 128); natively, three deviations above the mean of its training scores.
- PCA (95 % of the variance kept, squared error of the rest); natively, above 99.9 % of its training errors.
- LSTM autoencoder (windows of 5, 10 and 20 observations; hidden 32); natively, above the densest cluster (DBSCAN) of its
  training errors in any of the three windows.
- at random: a score that knows nothing.

A *false page* is a function-day without attack on which something is above the line; an attack is *found* if one of its
observations is. Three lines are tried: the native one; one drawn by conformal risk control, daily, on the fleet-days since
the 15th, as Sekisho draws its own (at the same budget, one page a week); and, to compare at equal false alarms, the one
that hindsight draws so that the ordinary days after the morning of the attacks have just so many. For the latter two,
scores are standardised on the function's highest scores of the days before; if a baseline is better without that, it is
shown without. Intervals are Wilson's and Garwood's, 95 %. Everything follows from the seeds.
"""

import multiprocessing
import re
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
from scipy.stats import chi2
from sklearn.cluster import DBSCAN
from sklearn.ensemble import IsolationForest

from features import COMMON, Vectors, read
from forest import RandomCutForest

LEARNED, FITTED_ON, REFITTED, MORNING = 14, 14, 14, 28
BUDGET, WINDOWS = 1 / 7, (5, 10, 20)
MOST_TRAINED = 3000
METHODS = ("first seen, 7 days", "isolation forest", "random cut forest", "PCA", "LSTM autoencoder, 3 windows", "at random")


def first_seen(quiet, attacks):
    """Scores by observation: quiet in order, and of attacks as of the morning."""
    known, count, first_day = defaultdict(set), defaultdict(int), {}

    def score(seen):
        if seen.day - first_day.get(seen.function, seen.day) < 7:
            return 0.0
        new = sum(key not in known[seen.function] for key, _ in seen.keys)
        return new * np.log2(1 + count[seen.function])

    out, of_attacks = np.zeros(len(quiet)), None
    morning = attacks_begin(attacks)
    for place, seen in enumerate(quiet):
        if of_attacks is None and seen.at >= morning:
            of_attacks = {name: np.array([score(a) for a in some]) for name, some in attacks.items()}
        out[place] = score(seen)
        first_day.setdefault(seen.function, seen.day)
        known[seen.function].update(key for key, _ in seen.keys)
        count[seen.function] += 1
    return out, of_attacks


def attacks_begin(attacks):
    return min(some[0].at for some in attacks.values())


class Pca:
    def __init__(self, training, _rng):
        self.mean = training.mean(axis=0)
        _, size, axes = np.linalg.svd(training - self.mean, full_matrices=False)
        share = np.cumsum(size**2) / max((size**2).sum(), 1e-12)
        self.axes = axes[: int(np.searchsorted(share, 0.95)) + 1]

    def score(self, points):
        rest = points - self.mean
        rest = rest - (rest @ self.axes.T) @ self.axes
        return (rest**2).sum(axis=1)


class Isolation:
    def __init__(self, training, rng):
        self.forest = IsolationForest(n_estimators=50, random_state=int(rng.integers(2**31))).fit(training)

    def score(self, points):
        return -self.forest.score_samples(points)


PLAIN = {
    "isolation forest": (Isolation, lambda scores: 0.5),
    "random cut forest": (RandomCutForest, lambda scores: scores.mean() + 3 * scores.std()),
    "PCA": (Pca, lambda scores: np.quantile(scores, 0.999)),
}


def densest(errors):
    """The highest of what DBSCAN calls no noise."""
    some = np.sort(np.random.default_rng(0).choice(errors, min(len(errors), 3000), replace=False))
    labels = DBSCAN(eps=max(some.std() * 0.25, 1e-9), min_samples=5).fit_predict(some[:, None])
    return some[labels >= 0].max() if (labels >= 0).any() else some.max()


def windows(vectors, size):
    """For each observation the window that ends with it; the first are filled up with the first one."""
    padded = np.concatenate([np.repeat(vectors[:1], size - 1, axis=0), vectors])
    return np.lib.stride_tricks.sliding_window_view(padded, size, axis=0).swapaxes(1, 2)


def narrowed(vectors):
    """For the autoencoder: the columns of the vocabulary, of which each function has its own, on 16 random axes."""
    axes = np.random.default_rng(7).normal(0, 0.25, (COMMON, 16)).astype(np.float32)
    return np.concatenate([vectors[:, :COMMON] @ axes, vectors[:, COMMON:]], axis=1) / 3


def fit_and_score(quiet, attacks, seed):
    """For each method: scores of all quiet observations and of all attacks', and whether each is natively an alarm."""
    from autoencoder import LstmAutoencoder

    begins = quiet[0].day
    by_group = defaultdict(list)
    for place, seen in enumerate(quiet):
        by_group[seen.group].append(place)
    scores = {method: np.zeros(len(quiet)) for method in METHODS}
    alarms = {method: np.zeros(len(quiet), bool) for method in METHODS}
    of_attacks = {method: {name: np.zeros(len(some)) for name, some in attacks.items()} for method in METHODS}
    their_alarms = {method: {name: np.zeros(len(some), bool) for name, some in attacks.items()} for method in METHODS}
    rng = np.random.default_rng(seed)

    scores["first seen, 7 days"], of_attacks["first seen, 7 days"] = first_seen(quiet, attacks)
    alarms["first seen, 7 days"] = scores["first seen, 7 days"] > 0
    their_alarms["first seen, 7 days"] = {n: s > 0 for n, s in of_attacks["first seen, 7 days"].items()}
    scores["at random"] = rng.random(len(quiet))
    of_attacks["at random"] = {name: rng.random(len(some)) for name, some in attacks.items()}

    last = max(seen.day for seen in quiet) - begins
    for day in range(LEARNED, last + 1, REFITTED):
        is_morning = day == MORNING
        groups, trained, parts = {}, [], []
        for group, places in by_group.items():
            training = [quiet[p] for p in places if day - FITTED_ON <= quiet[p].day - begins < day]
            if len(training) < 20:
                continue
            if len(training) > MOST_TRAINED:
                # The latest: windows need neighbours.
                training = training[-MOST_TRAINED:]
            vectors = Vectors(training)
            x = vectors.of(training)
            now = [p for p in places if day <= quiet[p].day - begins < day + REFITTED]
            scored = vectors.of([quiet[p] for p in now]) if now else x[:0]
            theirs = []
            if is_morning:
                for name, some in attacks.items():
                    rows = [row for row, seen in enumerate(some) if seen.group == group]
                    if rows:
                        theirs.append((name, rows, vectors.of([some[row] for row in rows])))
            groups[group] = (now, theirs)
            parts.append((x, scored, theirs))
            for method, (kind, native) in PLAIN.items():
                sample = x[:: max(1, len(x) // 1000)]
                together = kind(x, rng).score(np.concatenate([sample, scored, *(found for _, _, found in theirs)]))
                line = native(together[: len(sample)])
                at = len(sample) + len(now)
                scores[method][now] = together[len(sample) : at]
                alarms[method][now] = together[len(sample) : at] > line
                for name, rows, _ in theirs:
                    of_attacks[method][name][rows] = together[at : at + len(rows)]
                    their_alarms[method][name][rows] = together[at : at + len(rows)] > line
                    at += len(rows)
        # One autoencoder a window size; errors in multiples of the group's usual.
        method = "LSTM autoencoder, 3 windows"
        for size in WINDOWS:
            inputs = [narrowed(x) for x, _, _ in parts]
            several = np.concatenate([windows(x, size)[:: max(1, len(x) // 400)] for x in inputs])
            model = LstmAutoencoder(several, rng)
            for (x, scored, theirs), (now, _) in zip(parts, groups.values()):
                x = narrowed(x)
                context = x[-size:]
                follows = lambda some: windows(np.concatenate([context, narrowed(some)]), size)[size:]
                own = windows(x[-1000:], size)
                together = model.score(np.concatenate([own, *(follows(some) for some in (scored, *(v for _, _, v in theirs)))]))
                usual, line = max(together[: len(own)].mean(), 1e-9), densest(together[: len(own)])
                at = len(own) + len(now)
                keep_highest(scores[method], alarms[method], now, together[len(own) : at], usual, line)
                for name, rows, _ in theirs:
                    found = together[at : at + len(rows)]
                    keep_highest(of_attacks[method][name], their_alarms[method][name], rows, found, usual, line)
                    at += len(rows)
    return scores, alarms, of_attacks, their_alarms


def keep_highest(scores, alarms, places, found, usual, line):
    scores[places] = np.maximum(scores[places], found / usual)
    alarms[places] |= found > line


def daily(quiet, values):
    """The highest value of each function-day."""
    highest = defaultdict(dict)
    begins = quiet[0].day
    for seen, value in zip(quiet, values):
        day = seen.day - begins
        of = highest[seen.function]
        of[day] = max(of.get(day, -np.inf), value)
    return highest


def standardiser(highest, standardise):
    """(function, day) -> mean and deviation of the function's highest scores on days before, held to the fleet's."""
    def of(function, day):
        if not standardise:
            return 0.0, 1.0
        before = [v for d, v in highest[function].items() if LEARNED <= d < day]
        fleet = [v for values in highest.values() for d, v in values.items() if LEARNED <= d < max(day, LEARNED + 1)]
        mean, deviation, weight = np.mean(fleet), max(np.std(fleet), 1e-9), 3
        if not before:
            return mean, deviation
        n = len(before)
        own = np.mean(before)
        spread = (np.sum((np.array(before) - own) ** 2) + weight * deviation**2) / (n + weight)
        return (n * own + weight * mean) / (n + weight), max(np.sqrt(spread), 1e-9)

    return of


class Fleet:
    """What one method makes of one fleet: standardised function-days, and the highest of each attack."""

    def __init__(self, quiet, attacks, values, theirs, standardise):
        highest = daily(quiet, values)
        of = standardiser(highest, standardise)
        usual = {}

        def z(function, day, value):
            if (function, day) not in usual:
                usual[function, day] = of(function, day)
            mean, deviation = usual[function, day]
            return (value - mean) / deviation

        self.days = defaultdict(list)
        for function, values in highest.items():
            for day, value in values.items():
                if day >= LEARNED:
                    self.days[day].append(z(function, day, value))
        self.attacks = {}
        for name, some in attacks.items():
            bad = [z(seen.function, MORNING, value) for seen, value in zip(some, theirs[name]) if seen.malicious]
            self.attacks[name] = max(bad, default=-np.inf)

    def line(self, day):
        """By conformal risk control on the days before: a day's loss is whether anybody is woken."""
        before = sorted((max(values) for d, values in self.days.items() if d < day), reverse=True)
        allowed = int(np.floor(BUDGET * (len(before) + 1) - 1 + 1e-9))
        return before[allowed] if 0 <= allowed < len(before) else np.inf

    def later(self):
        return [(day, value) for day, values in self.days.items() if day >= MORNING for value in values]


def wilson(hits, trials, z=1.959964):
    if not trials:
        return "-"
    p, scale = hits / trials, 1 + z * z / trials
    middle, spread = p + z * z / (2 * trials), z * np.sqrt(p * (1 - p) / trials + z * z / (4 * trials * trials))
    return f"{100 * p:.0f} % ({100 * max(0, (middle - spread) / scale):.0f}-{100 * min(1, (middle + spread) / scale):.0f})"


def poisson(count, weeks):
    low = chi2.ppf(0.025, 2 * count) / 2 if count else 0.0
    return f"{count / weeks:.1f} ({low / weeks:.1f}-{chi2.ppf(0.975, 2 * count + 2) / 2 / weeks:.1f})"


def share(found):
    found = list(found)
    return wilson(sum(found), len(found))


def one_fleet(path):
    seed = int(re.search(r"(\d+)\.jsonl", path.name).group(1))
    quiet = read(path)[None]
    attacks = dict(read(path.with_name(path.name.replace("quiet", "attacks"))))
    scores, alarms, theirs, their_alarms = fit_and_score(quiet, attacks, seed)
    scores["Sekisho"] = np.array([seen.score for seen in quiet])
    alarms["Sekisho"] = np.array([seen.tier == 3 for seen in quiet])
    theirs["Sekisho"] = {name: np.array([seen.score for seen in some]) for name, some in attacks.items()}
    their_alarms["Sekisho"] = {name: np.array([seen.tier == 3 for seen in some]) for name, some in attacks.items()}
    found = {}
    for method in scores:
        days = daily(quiet, alarms[method])
        native_pages = sum(bool(v) for values in days.values() for d, v in values.items() if d >= MORNING)
        native = {
            name: any(a and seen.malicious for a, seen in zip(their_alarms[method][name], some))
            for name, some in attacks.items()
        }
        ways = [False] if method == "Sekisho" else [True, False]
        fleets = [Fleet(quiet, attacks, scores[method], theirs[method], way) for way in ways]
        found[method] = (native_pages, native, fleets)
    print(f"fleet {seed}: {len(quiet)} quiet observations, {len(attacks)} attacks", file=sys.stderr, flush=True)
    shown = {name: any(seen.malicious for seen in some) for name, some in attacks.items()}
    return found, shown, len({seen.day for seen in quiet}) - MORNING


def at_equal(fleets, weeks, a_week):
    """Found at the line that hindsight draws for so many false pages a week."""
    later = sorted((value for fleet in fleets for _, value in fleet.later()), reverse=True)
    line = later[min(int(weeks * a_week), len(later) - 1)]
    return [value > line for fleet in fleets for name, value in fleet.attacks.items() if is_counted(name)]


def is_counted(name):
    return not name.startswith("X")


def main():
    paths = sorted(Path(sys.argv[1]).glob("quiet-*.jsonl"))
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        outcomes = pool.map(one_fleet, paths, chunksize=1)
    weeks = sum(days for _, _, days in outcomes) / 7
    trials = sum(is_counted(name) for _, shown, _ in outcomes for name in shown)
    unseen = sum(is_counted(name) and not there for _, shown, _ in outcomes for name, there in shown.items())
    print(f"{len(paths)} fleets, {trials} attacks that are not adaptive ({unseen} of them in no observation), "
          f"{weeks:.0f} ordinary fleet-weeks beside them.\n")
    print("| | natively: found | false pages a week | calibrated: found | false pages a week "
          "| found at 1 a week | at 10 a week |")
    print("|---|---|---|---|---|---|---|")
    for method in ("Sekisho", *METHODS):
        rows = [found[method] for found, _, _ in outcomes]
        pages = sum(native_pages for native_pages, _, _ in rows)
        natively = share(hit for _, native, _ in rows for name, hit in native.items() if is_counted(name))
        ways = list(zip(*(fleets for _, _, fleets in rows)))
        best = max(ways, key=lambda fleets: sum(at_equal(fleets, weeks, 1)))
        equal = [share(at_equal(best, weeks, a_week)) for a_week in (1, 10)]
        if method == "Sekisho":
            native, calibrated = "- | -", f"{natively} | {poisson(pages, weeks)}"
        else:
            native = "- | -" if method == "at random" else f"{natively} | {poisson(pages, weeks)}"
            hits = [v > fleet.line(MORNING) for fleet in best for n, v in fleet.attacks.items() if is_counted(n)]
            false = sum(value > fleet.line(day) for fleet in best for day, value in fleet.later())
            calibrated = f"{share(hits)} | {poisson(false, weeks)}"
        print(f"| {method} | {native} | {calibrated} | {equal[0]} | {equal[1]} |")


if __name__ == "__main__":
    main()

"""A random cut forest (Guha et al. 2016), vectorised over the points that are scored."""

import numpy as np


class RandomCutForest:
    """Trees of random cuts over samples. The score of a point is the expected number of sample points that it would
    displace: those below the cut that would separate it, over all cuts it could meet on its way down, mean over trees."""

    def __init__(self, training, rng, trees=20, sample=128):
        size = min(sample, len(training))
        self.trees = [self.grow(training[rng.choice(len(training), size, replace=False)], rng) for _ in range(trees)]

    def grow(self, points, rng):
        low, high = points.min(axis=0), points.max(axis=0)
        spread = high - low
        total = spread.sum()
        if len(points) == 1 or total <= 0:
            return low, high, len(points), None
        column = rng.choice(len(spread), p=spread.astype(np.float64) / spread.astype(np.float64).sum())
        cut = rng.uniform(low[column], high[column])
        left = points[:, column] <= cut
        if left.all() or not left.any():
            left = points[:, column] < high[column]
        return low, high, len(points), (column, cut, self.grow(points[left], rng), self.grow(points[~left], rng))

    def score(self, points):
        sums = np.zeros(len(points))
        for tree in self.trees:
            waiting = [(tree, np.arange(len(points)), np.ones(len(points)))]
            while waiting:
                (low, high, mass, below), rows, still = waiting.pop()
                some = points[rows]
                beyond = (np.maximum(low - some, 0) + np.maximum(some - high, 0)).sum(axis=1)
                size = float((high - low).sum())
                apart = np.where(beyond > 0, beyond / np.maximum(beyond + size, 1e-12), 0.0)
                sums[rows] += still * apart * mass
                still = still * (1 - apart)
                if below is None:
                    continue
                column, cut, left, right = below
                goes_left = some[:, column] <= cut
                for child, side in ((left, goes_left), (right, ~goes_left)):
                    side = side & (still > 1e-3)
                    if side.any():
                        waiting.append((child, rows[side], still[side]))
        return sums / len(self.trees)

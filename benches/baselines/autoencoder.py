"""An LSTM autoencoder over windows of a function's consecutive observations."""

import jax
import jax.numpy as jnp
import numpy as np

HIDDEN, EPOCHS, BATCH, MOST_WINDOWS = 32, 8, 128, 5000


def cell(weights, state, x):
    h, c = state
    i, f, o, g = jnp.split(jnp.concatenate([x, h], axis=1) @ weights["w"] + weights["b"], 4, axis=1)
    c = jax.nn.sigmoid(f + 1.0) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
    h = jax.nn.sigmoid(o) * jnp.tanh(c)
    return h, c


def rebuild(weights, windows):
    """Encodes each window into one state, and from that unrolls it again."""
    steps = jnp.swapaxes(windows, 0, 1)
    empty = jnp.zeros((windows.shape[0], HIDDEN))
    encode = lambda state, x: (cell(weights["encoder"], state, x), None)
    (code, _), _ = jax.lax.scan(encode, (empty, empty), steps)

    def decode(state, _):
        state = cell(weights["decoder"], state, code)
        return state, state[0] @ weights["out"] + weights["bias"]

    _, found = jax.lax.scan(decode, (empty, empty), None, length=steps.shape[0])
    return jnp.swapaxes(found, 0, 1)


def loss(weights, windows):
    return jnp.mean((rebuild(weights, windows) - windows) ** 2)


@jax.jit
def step(weights, moments, windows, number):
    """Adam."""
    slope = jax.grad(loss)(weights, windows)
    first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, moments[0], slope)
    second = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, moments[1], slope)
    rate = 3e-3 * jnp.sqrt(1 - 0.999**number) / (1 - 0.9**number)
    weights = jax.tree.map(lambda w, m, v: w - rate * m / (jnp.sqrt(v) + 1e-8), weights, first, second)
    return weights, (first, second)


@jax.jit
def errors(weights, windows):
    return jnp.mean((rebuild(weights, windows) - windows) ** 2, axis=(1, 2))


class LstmAutoencoder:
    """One for a whole fleet; inputs are standardised for each function."""

    def __init__(self, windows, rng):
        columns = windows.shape[2]
        draw = lambda rows, cols: jnp.asarray(rng.normal(0, rows**-0.5, (rows, cols)), jnp.float32)
        gates = lambda inputs: {"w": draw(inputs + HIDDEN, 4 * HIDDEN), "b": jnp.zeros(4 * HIDDEN)}
        weights = {
            "encoder": gates(columns),
            "decoder": gates(HIDDEN),
            "out": draw(HIDDEN, columns),
            "bias": jnp.zeros(columns),
        }
        moments = (jax.tree.map(jnp.zeros_like, weights), jax.tree.map(jnp.zeros_like, weights))
        if len(windows) > MOST_WINDOWS:
            windows = windows[rng.choice(len(windows), MOST_WINDOWS, replace=False)]
        number = 0
        for _ in range(EPOCHS):
            order = rng.permutation(len(windows))
            for at in range(0, len(order) - BATCH + 1, BATCH):
                number += 1
                weights, moments = step(weights, moments, windows[order[at : at + BATCH]], number)
        self.weights = weights

    def score(self, windows):
        out = np.zeros(len(windows))
        for at in range(0, len(windows), 1024):
            some = windows[at : at + 1024]
            # One shape, compiled once.
            whole = np.zeros((1024, *windows.shape[1:]), np.float32)
            whole[: len(some)] = some
            out[at : at + len(some)] = np.asarray(errors(self.weights, whole))[: len(some)]
        return out

"""jax: lax.scan under jit, the input product hoisted out of the scan, weights as arguments, float32."""

from typing import Any

import numpy as np

from measure.timing import Contender

UNROLL = (1, 8)
"""Both are compiled; the faster one competes."""


def scan(kind: str, make: Any, inputs: Any, cotangent: Any) -> Contender:
    """Forward, and the gradient of the parameters for the cotangent: what torch's backward gives."""
    import jax

    jax.config.update("jax_platforms", "cpu")
    import jax.numpy as jnp

    layer = make()
    # Weights lie as jax's users lay them, [in, out].
    parameters = {
        "W": jnp.asarray(layer.weight_ih_l0.detach().numpy().T.copy()),
        "R": jnp.asarray(layer.weight_hh_l0.detach().numpy().T.copy()),
        "b": jnp.asarray(layer.bias_ih_l0.detach().numpy().copy()),
        "d": jnp.asarray(layer.bias_hh_l0.detach().numpy().copy()),
    }
    x, given = jnp.asarray(inputs.numpy()), jnp.asarray(cotangent.numpy())
    variants = [_compiled(jax, kind, unroll) for unroll in UNROLL]
    times = []
    for variant in variants:
        one = Contender("", lambda variant=variant: jax.block_until_ready(variant(parameters, x, given)))
        one.seconds()
        times.append(min(one.seconds() for _ in range(3)))
    fastest = variants[int(np.argmin(times))]

    def result() -> list[np.ndarray]:
        outputs, gradients = fastest(parameters, x, given)
        return [np.asarray(outputs), np.asarray(gradients["R"]).T]

    return Contender("", lambda: jax.block_until_ready(fastest(parameters, x, given)), result=result)


def _compiled(jax: Any, kind: str, unroll: int) -> Any:
    import jax.numpy as jnp

    def lstm(p: Any, carry: Any, projected: Any) -> Any:
        h, c = carry
        i, f, g, o = jnp.split(projected + h @ p["R"], 4, -1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return (h, c), h

    def gru(p: Any, carry: Any, projected: Any) -> Any:
        (h,) = carry
        recurrent = h @ p["R"] + p["d"]
        (r, z, n), (own_r, own_z, own_n) = jnp.split(projected, 3, -1), jnp.split(recurrent, 3, -1)
        r, z = jax.nn.sigmoid(r + own_r), jax.nn.sigmoid(z + own_z)
        n = jnp.tanh(n + r * own_n)
        h = (1 - z) * n + z * h
        return (h,), h

    def rnn(p: Any, carry: Any, projected: Any) -> Any:
        h = jnp.tanh(projected + carry[0] @ p["R"])
        return (h,), h

    step, leaves = {"LSTM": (lstm, 2), "GRU": (gru, 1), "RNN": (rnn, 1)}[kind]

    def layer(p: Any, x: Any) -> Any:
        projected = x @ p["W"] + p["b"]
        if kind != "GRU":
            projected = projected + p["d"]
        zeros = jnp.zeros((x.shape[0], p["R"].shape[0]), x.dtype)
        _, outputs = jax.lax.scan(
            lambda carry, own: step(p, carry, own), (zeros,) * leaves, jnp.swapaxes(projected, 0, 1), unroll=unroll
        )
        return jnp.swapaxes(outputs, 0, 1)

    def both(p: Any, x: Any, cotangent: Any) -> Any:
        outputs, pull = jax.vjp(lambda own: layer(own, x), p)
        return outputs, pull(cotangent)[0]

    return jax.jit(both)

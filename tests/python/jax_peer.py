"""The training peer: JAX, f32. Reads one JSON request a line on stdin, answers one a line.

    {"weights", "batch", "steps", "answer"}  -> {"loss"}

`weights` is a safetensors file with fc1, fc2, fc3; `batch` one with `features` u8 [B, IN] and `labels`
i32 [B]. Writes to `answer`: `logits` [B, C], `grad.NAME` for each tensor (of the mean cross-entropy), and
`NAME` after `steps` steps of Adam as Keras does it on that batch.
"""

import json
import sys

import jax
import jax.numpy as jnp
from safetensors.numpy import load_file, save_file

jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_default_matmul_precision", "highest")


def logits(weights: dict, features: jax.Array) -> jax.Array:
    x = features.astype(jnp.float32) / 255 - 0.5
    x = jax.nn.relu(x @ weights["fc1.weight"].T + weights["fc1.bias"])
    x = jax.nn.relu(x @ weights["fc2.weight"].T + weights["fc2.bias"])
    return x @ weights["fc3.weight"].T + weights["fc3.bias"]


def loss(weights: dict, features: jax.Array, labels: jax.Array) -> jax.Array:
    log_probabilities = jax.nn.log_softmax(logits(weights, features))
    return -jnp.mean(jnp.take_along_axis(log_probabilities, labels[:, None], axis=1))


def adam(w, g, m, v, t):
    """keras.optimizers.Adam.update_step, with its defaults."""
    rate = 1e-3 * (1 - 0.999**t) ** 0.5 / (1 - 0.9**t)
    m = m + (g - m) * (1 - 0.9)
    v = v + (g**2 - v) * (1 - 0.999)
    return w - m * rate / (jnp.sqrt(v) + 1e-7), m, v


def answer(request: dict) -> dict:
    weights = {name: jnp.asarray(value) for name, value in load_file(request["weights"]).items()}
    batch = load_file(request["batch"])
    features, labels = jnp.asarray(batch["features"]), jnp.asarray(batch["labels"])
    gradient = jax.jit(jax.value_and_grad(loss))
    value, first = gradient(weights, features, labels)
    result = {"logits": logits(weights, features)}
    result |= {f"grad.{name}": g for name, g in first.items()}
    moving = {name: (w, jnp.zeros_like(w), jnp.zeros_like(w)) for name, w in weights.items()}
    for t in range(1, request["steps"] + 1):
        _, g = gradient({name: w for name, (w, _, _) in moving.items()}, features, labels)
        moving = {name: adam(w, g[name], m, v, t) for name, (w, m, v) in moving.items()}
    result |= {name: w for name, (w, _, _) in moving.items()}
    save_file({name: jax.device_get(value) for name, value in result.items()}, request["answer"])
    return {"loss": float(value)}


for line in sys.stdin:
    print(json.dumps(answer(json.loads(line))), flush=True)

"""The network's oracle: NumPy, real and integer. Reads one JSON request a line on stdin, answers one a line.

    {"weights", "features", "answer"}  -> {}     the real network in f64
    {"layers", "features", "answer"}   -> {}     the integer network

`features` is a safetensors file with `features` u8 [N, IN]. `weights` is one with fc1, fc2, fc3. `layers`
is one with, for N in 1, 2, 3: `weights.N` i8 [OUT, IN], `biases.N` i32 [OUT], `multipliers.N` i32 [OUT or
1], `shifts.N` u8 [OUT or 1]. Writes `logits` [N, C] to `answer`: f64, or i32.

The integer network is written from its documentation, with 64-bit integers that cannot overflow:
requant(acc) = floor((acc * multiplier + 2^(shift-1)) / 2^shift).
"""

import json
import sys

import numpy as np
from safetensors.numpy import load_file, save_file


def real(weights: dict, features: np.ndarray) -> np.ndarray:
    x = features.astype(np.float64) / 255 - 0.5
    for layer in ("fc1", "fc2", "fc3"):
        weight = weights[f"{layer}.weight"].astype(np.float64)
        x = x @ weight.T + weights[f"{layer}.bias"].astype(np.float64)
        if layer != "fc3":
            x = np.maximum(x, 0)
    return x


def integer(layers: dict, features: np.ndarray) -> np.ndarray:
    x = features.astype(np.int64)
    for layer in (1, 2, 3):
        weights = layers[f"weights.{layer}"].astype(np.int64)
        multipliers = layers[f"multipliers.{layer}"].astype(np.int64)
        shifts = layers[f"shifts.{layer}"].astype(np.int64)
        acc = x @ weights.T + layers[f"biases.{layer}"].astype(np.int64)
        assert np.abs(acc).max() < 2**31
        x = (acc * multipliers + (np.int64(1) << (shifts - 1))) >> shifts
        x = np.clip(x, 0, 255) if layer < 3 else np.clip(x, -(2**31), 2**31 - 1)
    return x.astype(np.int32)


def answer(request: dict) -> dict:
    features = load_file(request["features"])["features"]
    if "layers" in request:
        logits = integer(load_file(request["layers"]), features)
    else:
        logits = real(load_file(request["weights"]), features)
    save_file({"logits": logits}, request["answer"])
    return {}


for line in sys.stdin:
    print(json.dumps(answer(json.loads(line))), flush=True)

"""Trains 784-64-64-10 on MNIST in Keras and saves it as people do, for `sealnet export`.

    keras_mlp.py MNIST WEIGHTS LOGITS [EPOCHS]

MNIST is the folder of the four IDX files. WEIGHTS becomes a safetensors file with each trainable variable under Keras's
path, and nothing that says more: kernels are [inputs, outputs], and pixels were trained on as u/255. LOGITS becomes one with
what Keras itself gives for the test images. Prints {"test_accuracy", "keras"}: the share of test images that Keras's f32
network gets right, from 0 to 1.
"""

import json
import os
import pathlib
import sys

os.environ["KERAS_BACKEND"] = "jax"
os.environ["JAX_PLATFORMS"] = "cpu"

import keras
import numpy as np
from safetensors.numpy import save_file


def idx(folder: pathlib.Path, name: str) -> np.ndarray:
    """An IDX file of bytes: three bytes of type, the number of sizes, these in 32 bits each, the bytes."""
    data = (folder / name).read_bytes()
    sizes = np.frombuffer(data, ">u4", data[3], 4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * data[3]).reshape(sizes.astype(int))


def main() -> None:
    folder, weights, logits, *epochs = sys.argv[1:]
    folder = pathlib.Path(folder)
    x_train, y_train = idx(folder, "train-images-idx3-ubyte"), idx(folder, "train-labels-idx1-ubyte")
    x_test, y_test = idx(folder, "t10k-images-idx3-ubyte"), idx(folder, "t10k-labels-idx1-ubyte")
    x_train, x_test = (x.reshape(len(x), -1).astype("float32") / 255 for x in (x_train, x_test))

    keras.utils.set_random_seed(1)
    layers = [
        keras.Input((784,)),
        keras.layers.Dense(64, activation="relu"),
        keras.layers.Dense(64, activation="relu"),
        keras.layers.Dense(10),
    ]
    model = keras.Sequential(layers)
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    # The last 10,000 are what `sealnet export` takes for validation.
    model.fit(x_train[:50_000], y_train[:50_000], batch_size=128, epochs=int(*epochs or [3]), verbose=0)
    _, accuracy = model.evaluate(x_test, y_test, verbose=0)

    save_file({variable.path: np.asarray(variable) for variable in model.trainable_variables}, weights)
    save_file({"logits": model.predict(x_test, batch_size=1000, verbose=0)}, logits)
    print(json.dumps({"test_accuracy": float(accuracy), "keras": keras.__version__}))


if __name__ == "__main__":
    main()

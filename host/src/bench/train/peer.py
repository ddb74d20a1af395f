"""A peer of `sealnet bench train`: the same network trained on the same records by another system.

    peer.py SYSTEM FOLDER THREADS

SYSTEM is jax, pytorch, scikit-learn or keras. FOLDER/plan.json holds `widths` (input, hidden 1, hidden 2, output),
`batch`, `epochs` and Adam's `learning_rate`, `beta_1`, `beta_2` and `epsilon`. The other files are numbers in a row,
little-endian: `features` and `test_features` (u8, `[records][input]`), `labels` and `test_labels` (u16).

Each system trains as fast as it can in a form that its users write: see `form` of each. The first line on standard
output says which form, which versions, and what compiling took (JSON; null where nothing is compiled); after it, each
line on standard input, `{"seed": 1}`, is answered by the seconds that a training from new weights took and the
accuracy on the test records. Outside these seconds: reading, features to reals, first weights, compiling, testing.
"""

import importlib.metadata
import json
import os
import pathlib
import platform
import queue
import sys
import threading
import time
import warnings


def pin(threads: int) -> None:
    """Before any system is loaded: no more cores than threads, and pools of that size."""
    for pool in ("OMP", "OPENBLAS", "MKL", "VECLIB_MAXIMUM", "NUMEXPR"):
        os.environ[f"{pool}_NUM_THREADS"] = str(threads)
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    if not hasattr(os, "sched_setaffinity"):
        return
    of_core: dict[str, int] = {}
    allowed = sorted(os.sched_getaffinity(0))
    for cpu in allowed:
        siblings = pathlib.Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
        of_core.setdefault(siblings.read_text() if siblings.exists() else str(cpu), cpu)
    # Two threads of one core are not two cores; where there is but one core they must do.
    cpus = list(of_core.values()) + [cpu for cpu in allowed if cpu not in of_core.values()]
    os.sched_setaffinity(0, cpus[:threads])


class Data:
    def __init__(self, folder: pathlib.Path) -> None:
        import numpy as np

        self.plan = json.loads((folder / "plan.json").read_text())
        width = self.plan["widths"][0]

        def features(name: str) -> np.ndarray:
            return np.fromfile(folder / name, np.uint8).reshape(-1, width).astype(np.float32) / 255 - np.float32(0.5)

        def labels(name: str) -> np.ndarray:
            return np.fromfile(folder / name, "<u2").astype(np.int32)

        self.features, self.labels = features("features"), labels("labels")
        self.test_features, self.test_labels = features("test_features"), labels("test_labels")

    def sizes(self) -> list[tuple[int, int]]:
        widths = self.plan["widths"]
        return list(zip(widths, widths[1:]))

    def accuracy(self, classes) -> float:
        return float((classes == self.test_labels).mean())


class Jax:
    form = "an epoch is one jitted lax.scan over the batches; records gathered by a permutation inside it"
    packages = ("jax", "jaxlib")

    def __init__(self, data: Data, threads: int) -> None:
        os.environ["XLA_FLAGS"] = (
            f"--xla_cpu_multi_thread_eigen={'true' if threads > 1 else 'false'} intra_op_parallelism_threads={threads}"
        )
        os.environ["JAX_PLATFORMS"] = "cpu"
        import jax
        import jax.numpy as jnp
        import numpy as np

        self.jax, self.np, self.data, plan = jax, np, data, data.plan
        rate, beta_1, beta_2 = plan["learning_rate"], plan["beta_1"], plan["beta_2"]
        batch, count = plan["batch"], len(data.labels)

        def logits(layers, x):
            for weights, bias in layers[:-1]:
                x = jax.nn.relu(x @ weights + bias)
            weights, bias = layers[-1]
            return x @ weights + bias

        def loss(layers, x, labels):
            z = logits(layers, x)
            of_label = jnp.take_along_axis(z, labels[:, None], axis=1)[:, 0]
            return jnp.mean(jax.nn.logsumexp(z, axis=1) - of_label)

        def epoch(state, order, features, labels):
            def step(state, which):
                layers, m, v, t = state
                t = t + 1
                g = jax.grad(loss)(layers, features[which], labels[which])
                by = rate * jnp.sqrt(1 - beta_2**t) / (1 - beta_1**t)
                m = jax.tree.map(lambda m, g: m + (g - m) * (1 - beta_1), m, g)
                v = jax.tree.map(lambda v, g: v + (g * g - v) * (1 - beta_2), v, g)
                layers = jax.tree.map(lambda w, m, v: w - m * by / (jnp.sqrt(v) + plan["epsilon"]), layers, m, v)
                return (layers, m, v, t), None

            whole = count // batch * batch
            state, _ = jax.lax.scan(step, state, order[:whole].reshape(-1, batch))
            return step(state, order[whole:])[0] if whole < count else state

        self.features, self.labels = jnp.asarray(data.features), jnp.asarray(data.labels)
        self.logits = jax.jit(logits)
        order = jnp.arange(count, dtype=jnp.int32)
        start = time.perf_counter()
        lowered = jax.jit(epoch, donate_argnums=0).lower(self.start(0), order, self.features, self.labels)
        self.epoch = lowered.compile()
        self.compile_seconds = time.perf_counter() - start

    def start(self, seed: int):
        jnp, random = self.jax.numpy, self.np.random.default_rng(seed)
        layers = []
        for inputs, outputs in self.data.sizes():
            limit = (6 / (inputs + outputs)) ** 0.5
            weights = random.uniform(-limit, limit, (inputs, outputs)).astype(self.np.float32)
            layers.append((jnp.asarray(weights), jnp.zeros(outputs, jnp.float32)))
        zeros = [self.jax.tree.map(jnp.zeros_like, layers) for _ in range(2)]
        return self.jax.block_until_ready((layers, *zeros, jnp.float32(0)))

    def train(self, seed: int, epochs: int) -> tuple[float, float]:
        state, random = self.start(seed), self.np.random.default_rng((seed, 1))
        start = time.perf_counter()
        for _ in range(epochs):
            order = random.permutation(len(self.labels)).astype(self.np.int32)
            state = self.epoch(state, self.jax.numpy.asarray(order), self.features, self.labels)
        self.jax.block_until_ready(state)
        seconds = time.perf_counter() - start
        return seconds, self.data.accuracy(self.np.asarray(self.logits(state[0], self.data.test_features)).argmax(axis=1))


class PyTorch:
    form = "eager, autograd, fused Adam; batches gathered from one tensor"
    packages = ("torch",)
    compile_seconds = None

    def __init__(self, data: Data, threads: int) -> None:
        import torch

        torch.set_num_threads(threads)
        torch.set_num_interop_threads(1)
        self.torch, self.data = torch, data
        self.features = torch.from_numpy(data.features)
        self.labels = torch.from_numpy(data.labels.astype("int64"))

    def train(self, seed: int, epochs: int) -> tuple[float, float]:
        torch, plan = self.torch, self.data.plan
        torch.manual_seed(seed)
        layers = []
        for inputs, outputs in self.data.sizes():
            layer = torch.nn.Linear(inputs, outputs)
            torch.nn.init.xavier_uniform_(layer.weight)
            torch.nn.init.zeros_(layer.bias)
            layers += [layer, torch.nn.ReLU()]
        network = torch.nn.Sequential(*layers[:-1])
        adam = torch.optim.Adam(
            network.parameters(), plan["learning_rate"], (plan["beta_1"], plan["beta_2"]), plan["epsilon"], fused=True
        )
        loss = torch.nn.CrossEntropyLoss()
        start = time.perf_counter()
        for _ in range(epochs):
            for which in torch.randperm(len(self.labels)).split(plan["batch"]):
                adam.zero_grad()
                loss(network(self.features[which]), self.labels[which]).backward()
                adam.step()
        seconds = time.perf_counter() - start
        with torch.no_grad():
            classes = network(torch.from_numpy(self.data.test_features)).argmax(1).numpy()
        return seconds, self.data.accuracy(classes)


class ScikitLearn:
    form = "MLPClassifier.fit in f32, no penalty, no early stopping"
    packages = ("scikit-learn", "numpy")
    compile_seconds = None

    def __init__(self, data: Data, threads: int) -> None:
        from sklearn.exceptions import ConvergenceWarning

        # Five epochs are meant.
        warnings.simplefilter("ignore", ConvergenceWarning)
        self.data = data

    def train(self, seed: int, epochs: int) -> tuple[float, float]:
        from sklearn.neural_network import MLPClassifier

        data, plan = self.data, self.data.plan
        classifier = MLPClassifier(
            plan["widths"][1:-1], activation="relu", solver="adam", alpha=0.0, max_iter=epochs, random_state=seed,
            batch_size=min(plan["batch"], len(data.labels)), learning_rate_init=plan["learning_rate"],
            beta_1=plan["beta_1"], beta_2=plan["beta_2"], epsilon=plan["epsilon"], n_iter_no_change=epochs + 1,
        )  # fmt: skip
        start = time.perf_counter()
        classifier.fit(data.features, data.labels)
        seconds = time.perf_counter() - start
        return seconds, data.accuracy(classifier.predict(data.test_features))


class Keras:
    steps = 50
    form = f"on TensorFlow: fit, {steps} steps an execution"
    packages = ("keras", "tensorflow")

    def __init__(self, data: Data, threads: int) -> None:
        os.environ["KERAS_BACKEND"] = "tensorflow"
        os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
        import tensorflow

        tensorflow.config.threading.set_intra_op_parallelism_threads(threads)
        tensorflow.config.threading.set_inter_op_parallelism_threads(threads)
        import keras

        self.keras, self.data, plan = keras, data, data.plan
        inputs, *hidden, classes = plan["widths"]
        self.network = keras.Sequential(
            [keras.Input((inputs,)), *(keras.layers.Dense(width, "relu") for width in hidden), keras.layers.Dense(classes)]
        )
        self.adam = keras.optimizers.Adam(plan["learning_rate"], plan["beta_1"], plan["beta_2"], plan["epsilon"])
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        # XLA, which Keras takes by itself on a processor too, is slower here.
        self.network.compile(self.adam, loss, steps_per_execution=self.steps, jit_compile=False)
        self.adam.build(self.network.trainable_variables)
        self.fresh = [variable.numpy() for variable in self.adam.variables]
        start = time.perf_counter()
        # A whole batch and a short one.
        few = plan["batch"] + 1
        self.network.fit(data.features[:few], data.labels[:few], batch_size=plan["batch"], verbose=0)
        self.compile_seconds = time.perf_counter() - start

    def train(self, seed: int, epochs: int) -> tuple[float, float]:
        data, keras = self.data, self.keras
        keras.utils.set_random_seed(seed)
        for variable, value in zip(self.adam.variables, self.fresh):
            variable.assign(value)
        for layer in self.network.layers:
            layer.kernel.assign(keras.initializers.GlorotUniform()(layer.kernel.shape))
            layer.bias.assign(keras.ops.zeros(layer.bias.shape))
        start = time.perf_counter()
        self.network.fit(data.features, data.labels, batch_size=data.plan["batch"], epochs=epochs, verbose=0)
        seconds = time.perf_counter() - start
        return seconds, data.accuracy(self.network.predict(data.test_features, verbose=0).argmax(axis=1))


SYSTEMS = {"jax": Jax, "pytorch": PyTorch, "scikit-learn": ScikitLearn, "keras": Keras}


def questions() -> queue.Queue:
    """The lines of standard input; when it ends, so does this process, whatever it is at."""
    lines: queue.Queue = queue.Queue()

    def read() -> None:
        for line in sys.stdin:
            lines.put(line)
        os._exit(0)

    threading.Thread(target=read, daemon=True).start()
    return lines


def version(package: str) -> str | None:
    for name in (package, f"{package}-cpu"):
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None


def main() -> None:
    name, folder, threads = sys.argv[1], pathlib.Path(sys.argv[2]), int(sys.argv[3])
    lines = questions()
    pin(threads)
    data = Data(folder)
    peer = SYSTEMS[name](data, threads)
    # What only a first time pays for.
    peer.train(0, 1)
    said = {
        "form": peer.form,
        "versions": {"python": platform.python_version()} | {name: version(name) for name in peer.packages},
        "compile_seconds": peer.compile_seconds,
    }
    print(json.dumps(said), flush=True)
    while True:
        asked = json.loads(lines.get())
        seconds, accuracy = peer.train(asked["seed"], data.plan["epochs"])
        print(json.dumps({"seconds": seconds, "accuracy": accuracy}), flush=True)


if __name__ == "__main__":
    main()

"""Attacks by IBM's Adversarial Robustness Toolbox. Reads one JSON request a line on stdin, answers one a line.

    {"attack": "fgsm", "weights", "batch", "epsilon", "foreground", "answer"} -> {}
    {"attack": "pgd", "weights", "batch", "epsilon", "step", "steps", "answer"} -> {}    from the records themselves
    {"attack": "jsma", "weights", "batch", "theta", "gamma", "targets", "answer"} -> {}

`weights` is a safetensors file with fc1, fc2, fc3, trained on u/255 - 0.5. `batch` is one with `features` u8 [N, IN] and
`labels` i32 [N]. Lengths are shares of a feature's range. Writes to `answer`: `attacked` i32 [N, IN], and of fgsm `slopes`
f64 [N, IN], the loss's derivative that the sign was taken of.

ART attacks what it is given a gradient of: here the network in NumPy, in f64.
"""

import json
import sys

import numpy as np
from art.attacks.evasion import FastGradientMethod, ProjectedGradientDescentNumpy, SaliencyMapMethod
from art.estimators.classification import ClassGradientsMixin, ClassifierMixin
from art.estimators.estimator import BaseEstimator, LossGradientsMixin, NeuralNetworkMixin
from safetensors.numpy import load_file, save_file


class Network(ClassGradientsMixin, ClassifierMixin, LossGradientsMixin, NeuralNetworkMixin, BaseEstimator):
    """784-64-64-10 or the like; `predict` gives probabilities."""

    estimator_params = BaseEstimator.estimator_params

    def __init__(self, weights: dict):
        self.layers = [
            (weights[f"fc{n}.weight"].astype(np.float64).T, weights[f"fc{n}.bias"].astype(np.float64)) for n in (1, 2, 3)
        ]
        super().__init__(model=None, clip_values=(0.0, 1.0), channels_first=False)
        self.nb_classes = self.layers[2][1].size

    @property
    def input_shape(self) -> tuple:
        return (self.layers[0][0].shape[0],)

    def fit(self, *_, **__):
        raise NotImplementedError

    def get_activations(self, *_, **__):
        raise NotImplementedError

    def forward(self, x: np.ndarray) -> list:
        values = [x.astype(np.float64) - 0.5]
        for number, (weight, bias) in enumerate(self.layers):
            z = values[-1] @ weight + bias
            values.append(np.maximum(z, 0) if number < 2 else z)
        return values

    def back(self, values: list, delta: np.ndarray) -> np.ndarray:
        for number in (2, 1, 0):
            delta = delta @ self.layers[number][0].T
            if number:
                delta = delta * (values[number] > 0)
        return delta

    @staticmethod
    def softmax(z: np.ndarray) -> np.ndarray:
        e = np.exp(z - z.max(axis=1, keepdims=True))
        return e / e.sum(axis=1, keepdims=True)

    def predict(self, x: np.ndarray, **_) -> np.ndarray:
        return self.softmax(self.forward(x)[-1])

    def loss_gradient(self, x: np.ndarray, y: np.ndarray, **_) -> np.ndarray:
        values = self.forward(x)
        return self.back(values, self.softmax(values[-1]) - y)

    def class_gradient(self, x: np.ndarray, label=None, **_) -> np.ndarray:
        values = self.forward(x)
        one, p = np.eye(self.nb_classes)[label], self.softmax(values[-1])
        share = (p * one).sum(axis=1, keepdims=True)
        return self.back(values, share * (one - p))[:, None, :]


def answer(request: dict) -> dict:
    batch = load_file(request["batch"])
    x = batch["features"].astype(np.float64) / 255
    network = Network(load_file(request["weights"]))
    labels = np.eye(network.nb_classes)[batch["labels"]]
    tensors = {}
    if request["attack"] == "fgsm":
        attack = FastGradientMethod(network, eps=request["epsilon"], batch_size=256)
        mask = (x > 0).astype(np.float64) if request["foreground"] else None
        attacked = attack.generate(x, labels, mask=mask)
        tensors["slopes"] = network.loss_gradient(x, labels)
    elif request["attack"] == "pgd":
        attack = ProjectedGradientDescentNumpy(
            network, eps=request["epsilon"], eps_step=request["step"], max_iter=request["steps"], batch_size=256, verbose=False
        )
        attacked = attack.generate(x, labels)
    else:
        attack = SaliencyMapMethod(
            network, theta=request["theta"], gamma=request["gamma"], batch_size=256, verbose=False
        )
        attacked = attack.generate(x, np.array(request["targets"]))
    tensors["attacked"] = np.rint(attacked.astype(np.float64) * 255).astype(np.int32)
    save_file(tensors, request["answer"])
    return {}


for line in sys.stdin:
    print(json.dumps(answer(json.loads(line))), flush=True)

"""The peer of `sealnet bench host`: the same network over the same records by ONNX Runtime, in int8 and in f32.

    onnxruntime_peer.py FOLDER

FOLDER/network.json holds `widths` (input, hidden 1, hidden 2, output) and `threads` (numbers of threads to be asked for).
The other files are numbers in a row, little-endian: `weights` (f32; of each layer `[inputs][outputs]`, then `[outputs]`
biases, for features as bytes), `features` (u8, `[records][input]`), `labels` (u16) and `calibration` (u8,
`[records][input]`).

ONNX Runtime's own tools quantise. What they make takes reals, and begins by taking them to bytes; since the features are
bytes, a second form of each begins with these. Each form is tried, and for each number of threads the fastest is
what int8 is here. The first line on standard output says so; after it, each line on standard input, `{"what": "int8",
"threads": 1, "batches": 20}`, is answered by the seconds that the fastest of so many batches of all records took.
"""

import json
import logging
import pathlib
import sys
import time

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static

INPUT = "features"
# Of each form, to find the fastest.
TRIAL_BATCHES = 30


class Records(CalibrationDataReader):
    def __init__(self, records: np.ndarray) -> None:
        self.parts = iter(np.array_split(records.astype(np.float32), max(1, len(records) // 500)))

    def get_next(self) -> dict[str, np.ndarray] | None:
        part = next(self.parts, None)
        return None if part is None else {INPUT: part}


def real(folder: pathlib.Path, widths: list[int]) -> pathlib.Path:
    """The network in reals, over features from 0 to 255."""
    numbers = np.fromfile(folder / "weights", "<f4")
    nodes, constants, name = [], [], INPUT
    for layer, (inputs, outputs) in enumerate(zip(widths, widths[1:]), 1):
        weights, bias, numbers = np.split(numbers, [inputs * outputs, (inputs + 1) * outputs])
        constants.append(numpy_helper.from_array(weights.reshape(inputs, outputs), f"weights{layer}"))
        constants.append(numpy_helper.from_array(bias, f"bias{layer}"))
        last = layer == len(widths) - 1
        made = "logits" if last else f"sum{layer}"
        nodes.append(helper.make_node("Gemm", [name, f"weights{layer}", f"bias{layer}"], [made], name=f"gemm{layer}"))
        if not last:
            name = f"hidden{layer}"
            nodes.append(helper.make_node("Relu", [made], [name], name=f"relu{layer}"))
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["records", widths[0]])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["records", widths[-1]])],
        constants,
    )
    path = folder / "real.onnx"
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    onnx.save(model, path)
    return path


def from_bytes(path: pathlib.Path) -> pathlib.Path | None:
    """The same model without what takes its input to bytes, if that is how it begins and it changes none."""
    model = onnx.load(path)
    graph = model.graph
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    first = [node for node in graph.node if node.op_type == "QuantizeLinear" and node.input[0] == INPUT]
    if len(first) != 1:
        return None
    scale, zero = (constants[name] for name in first[0].input[1:3])
    if scale != 1 or zero != 0 or zero.dtype != np.uint8:
        return None
    for node in graph.node:
        for at, name in enumerate(node.input):
            if name == first[0].output[0]:
                node.input[at] = INPUT
    graph.node.remove(first[0])
    graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8
    changed = path.with_suffix(".bytes.onnx")
    onnx.save(model, changed)
    return changed


def quantised(folder: pathlib.Path, path: pathlib.Path, calibration: np.ndarray) -> dict[str, pathlib.Path]:
    """All int8 forms, by name. Weights are signed: ONNX Runtime's unsigned ones are slower."""
    forms = {}
    # A pixel that is 255 in no record must not make the scale of the input another one.
    ends = np.concatenate([calibration, np.full_like(calibration[:1], 255)])
    for style in (QuantFormat.QOperator, QuantFormat.QDQ):
        for each in (False, True):
            name = f"static {style.name}, {'per channel' if each else 'per tensor'}"
            made = folder / f"{style.name}-{each}.onnx"
            quantize_static(
                path, made, Records(ends), quant_format=style, per_channel=each,
                activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
            )  # fmt: skip
            forms[name] = made
            changed = from_bytes(made)
            if changed is not None:
                forms[f"{name}, from bytes"] = changed
    made = folder / "dynamic.onnx"
    quantize_dynamic(path, made, weight_type=QuantType.QInt8)
    forms["dynamic"] = made
    return forms


class Session:
    def __init__(self, path: pathlib.Path, threads: int, features: dict[str, np.ndarray]) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.input = {INPUT: features[self.session.get_inputs()[0].type]}
        self.logits = self.session.run(None, self.input)[0]

    def seconds(self, batches: int) -> float:
        self.session.run(None, self.input)
        fastest = float("inf")
        for _ in range(batches):
            start = time.perf_counter()
            self.session.run(None, self.input)
            fastest = min(fastest, time.perf_counter() - start)
        return fastest


def main() -> None:
    logging.disable(logging.WARNING)
    folder = pathlib.Path(sys.argv[1])
    network = json.loads((folder / "network.json").read_text())
    widths = network["widths"]
    records = np.fromfile(folder / "features", np.uint8).reshape(-1, widths[0])
    labels = np.fromfile(folder / "labels", "<u2")
    calibration = np.fromfile(folder / "calibration", np.uint8).reshape(-1, widths[0])
    # Neither form converts anything while it is timed.
    features = {"tensor(uint8)": records, "tensor(float)": records.astype(np.float32)}
    path = real(folder, widths)
    forms = quantised(folder, path, calibration)

    def accuracy(session: Session) -> float:
        return float((session.logits.argmax(axis=1) == labels).mean())

    sessions, said = {}, {"version": onnxruntime.__version__, "int8": {}}
    for threads in network["threads"]:
        tried = {name: Session(form, threads, features) for name, form in forms.items()}
        times = {name: session.seconds(TRIAL_BATCHES) for name, session in tried.items()}
        fastest = min(times, key=times.get)
        sessions["int8", threads] = tried[fastest]
        rates = {name: round(len(records) / seconds) for name, seconds in times.items()}
        said["int8"][threads] = {"form": fastest, "accuracy": accuracy(tried[fastest]), "tried": rates}
        del tried
        sessions["f32", threads] = Session(path, threads, features)
        said["f32_accuracy"] = accuracy(sessions["f32", threads])
    print(json.dumps(said), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        print(sessions[asked["what"], asked["threads"]].seconds(asked["batches"]), flush=True)


if __name__ == "__main__":
    main()

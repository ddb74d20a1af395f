"""Runs an ONNX file with ONNX Runtime, after ONNX's own checker. Reads one JSON request a line on stdin, answers one a line.

    {"model", "batch", "answer"}  -> {"inputs", "outputs", "metadata", "doc", "refused"}

`batch` is a safetensors file with `features` u8 [B, IN]. Writes `logits` [B, C] to `answer`. `refused` is what ONNX Runtime
says to the same features as reals: what takes them for anything but bytes must not be answered.
"""

import json
import sys

import onnx
import onnxruntime
from safetensors.numpy import load_file, save_file

onnxruntime.set_default_logger_severity(4)


def answer(request: dict) -> dict:
    model = onnx.load(request["model"])
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(request["model"], providers=["CPUExecutionProvider"])
    features = load_file(request["batch"])["features"]
    (source,), (target,) = session.get_inputs(), session.get_outputs()
    save_file({"logits": session.run([target.name], {source.name: features})[0]}, request["answer"])
    try:
        session.run([target.name], {source.name: features.astype("float32")})
        refused = None
    except Exception as reason:
        refused = str(reason)
    meta = session.get_modelmeta()
    return {
        "inputs": [source.name, source.type, source.shape],
        "outputs": [target.name, target.type, target.shape],
        "metadata": meta.custom_metadata_map,
        "doc": meta.description,
        "refused": refused,
    }


for line in sys.stdin:
    print(json.dumps(answer(json.loads(line))), flush=True)

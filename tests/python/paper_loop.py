"""The paper's own loop (sections 3.1.1 and 3.1.2) in Python: hash each record with SHA-512, append the
hash, encrypt with `cryptography.fernet`, write to disk; read, decrypt, hash again, compare.

    paper_loop.py MNIST_FOLDER SCRATCH_FOLDER    prints {"records", "seal_seconds", "open_seconds"}
"""

import hashlib
import json
import pathlib
import sys
import time

import numpy
from cryptography.fernet import Fernet


def records(folder: pathlib.Path) -> tuple[numpy.ndarray, numpy.ndarray]:
    parts = ("train", "t10k")
    images = [numpy.fromfile(folder / f"{p}-images-idx3-ubyte", numpy.uint8, offset=16) for p in parts]
    labels = [numpy.fromfile(folder / f"{p}-labels-idx1-ubyte", numpy.uint8, offset=8) for p in parts]
    return numpy.concatenate(images).reshape(-1, 784), numpy.concatenate(labels)


def main() -> None:
    images, labels = records(pathlib.Path(sys.argv[1]))
    sealed = pathlib.Path(sys.argv[2]) / "paper-loop.fernet"
    opened = pathlib.Path(sys.argv[2]) / "paper-loop.idx"
    fernet = Fernet(Fernet.generate_key())

    start = time.perf_counter()
    with sealed.open("wb") as out:
        for image, label in zip(images, labels):
            record = image.tobytes() + bytes([label])
            out.write(fernet.encrypt(record + hashlib.sha512(record).digest()) + b"\n")
    seal_seconds = time.perf_counter() - start

    start = time.perf_counter()
    count = 0
    with sealed.open("rb") as lines, opened.open("wb") as out:
        for line in lines:
            plaintext = fernet.decrypt(line.rstrip(b"\n"))
            record, h0 = plaintext[:-64], plaintext[-64:]
            if hashlib.sha512(record).digest() != h0:
                raise SystemExit("a record was touched")
            out.write(record)
            count += 1
    open_seconds = time.perf_counter() - start
    print(json.dumps({"records": count, "seal_seconds": seal_seconds, "open_seconds": open_seconds}))


if __name__ == "__main__":
    main()

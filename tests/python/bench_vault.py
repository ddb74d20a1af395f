"""Sealing and opening all of MNIST, against the paper's own loop in Python, alternating in one run.

    bench_vault.py SEALNET_BINARY MNIST_FOLDER [ROUNDS]

Both write to disk. Sealnet's seconds are the whole process, its start and the reading of the data set
included; the loop's seconds leave its start out. Prints medians and the ratio as one JSON document.
"""

import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time


def run(command: list[str], environment: dict[str, str]) -> tuple[float, dict]:
    start = time.perf_counter()
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    return time.perf_counter() - start, json.loads(done.stdout)


def main() -> None:
    sealnet, mnist = sys.argv[1], sys.argv[2]
    rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 5
    loop = pathlib.Path(__file__).with_name("paper_loop.py")
    times: dict[str, list[float]] = {name: [] for name in ("seal", "open", "python_seal", "python_open")}
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as scratch:
            environment = {"PATH": "/usr/bin:/bin", "SEALNET_STATE_DIR": f"{scratch}/state", "HOME": scratch}
            keys = ["--keys", f"{scratch}/keys", "--json"]
            run([sealnet, "keygen", f"{scratch}/keys", "--json"], environment)
            seconds, _ = run([sealnet, "seal", mnist, f"{scratch}/vault", *keys], environment)
            times["seal"].append(seconds)
            seconds, report = run([sealnet, "open", f"{scratch}/vault", f"{scratch}/data", *keys], environment)
            times["open"].append(seconds)
            assert report["records"] == 70_000 and report["failed"] == 0
            _, report = run([sys.executable, str(loop), mnist, scratch], environment)
            times["python_seal"].append(report["seal_seconds"])
            times["python_open"].append(report["open_seconds"])
    medians = {name: statistics.median(values) for name, values in times.items()}
    document = {
        "records": 70_000,
        "rounds": rounds,
        "seconds": {name: round(value, 3) for name, value in medians.items()},
        "seal_ratio": round(medians["python_seal"] / medians["seal"], 2),
        "open_ratio": round(medians["python_open"] / medians["open"], 2),
    }
    print(json.dumps(document, indent=2))


if __name__ == "__main__":
    main()

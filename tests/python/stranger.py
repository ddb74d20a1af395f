"""A stranger's reader: opens a vault and a sealed model from the documented formats alone, with
Python's standard library and `cryptography`. It shares no code with Sealnet.

    stranger.py vault STORE KEYS    verifies manifest, Merkle root and every record tag; prints JSON
    stranger.py model FILE KEYS     verifies, decrypts and parses a sealed model; prints JSON
    stranger.py receipt FILE KEYS   verifies a training receipt; prints its statement
    stranger.py answer FILE KEY     verifies a device's receipt in JSON form with its key; prints what it says
"""

import base64
import hashlib
import hmac
import json
import pathlib
import struct
import sys

from cryptography.fernet import Fernet, MultiFernet
from cryptography.hazmat.primitives.serialization import load_pem_public_key


def sha512(*parts: bytes) -> bytes:
    return hashlib.sha512(b"".join(parts)).digest()


def fernet(path: pathlib.Path) -> MultiFernet:
    lines = (line.split("#")[0].strip() for line in path.read_text().splitlines())
    return MultiFernet([Fernet(line) for line in lines if line])


def verify(public_pem: pathlib.Path, domain: bytes, signed: bytes, signature: bytes) -> None:
    """Pure Ed25519 over domain, a zero byte, and SHA-512 of the exact bytes; raises when it does not hold."""
    load_pem_public_key(public_pem.read_bytes()).verify(signature, domain + b"\0" + sha512(signed))


def envelope(path: pathlib.Path, payload_type: str, domain: bytes, public_pem: pathlib.Path) -> dict:
    """DSSE: the pre-authentication encoding of the stored payload is what is signed."""
    document = json.loads(path.read_text())
    assert document["payloadType"] == payload_type, document["payloadType"]
    payload = base64.b64decode(document["payload"], validate=True)
    kind = payload_type.encode()
    encoding = b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)
    [signature] = document["signatures"]
    verify(public_pem, domain, encoding, base64.b64decode(signature["sig"], validate=True))
    return json.loads(payload)


def merkle_root(leaves: list[bytes]) -> bytes:
    """RFC 9162, section 2.1.1, with SHA-512."""
    if not leaves:
        return sha512()
    if len(leaves) == 1:
        return leaves[0]
    split = 1 << ((len(leaves) - 1).bit_length() - 1)
    return sha512(b"\x01", merkle_root(leaves[:split]), merkle_root(leaves[split:]))


def vault(store: pathlib.Path, keys: pathlib.Path) -> dict:
    newest = max(store.glob("manifest-*.json"))
    manifest = envelope(
        newest,
        "application/vnd.sealnet.manifest+json",
        b"sealnet/v1/manifest",
        keys / "owner/sign.pub.pem",
    )
    opener = fernet(keys / "owner/vault.key")
    tag_key = base64.b64decode((keys / "owner/record-tag.key").read_text())
    dataset_id = bytes.fromhex(manifest["dataset_id"])
    leaves, features_digest, labels, index, records = [], hashlib.sha512(), [], 0, []
    for shard in manifest["shards"]:
        lines = (store / f"shards/{shard['name']}.fernet").read_bytes().splitlines()
        assert len(lines) == shard["records"]
        shard_leaves = [sha512(b"\0", base64.urlsafe_b64decode(line)) for line in lines]
        assert merkle_root(shard_leaves).hex() == shard["subroot"]
        assert b"".join(shard_leaves) == (store / f"shards/{shard['name']}.leaves").read_bytes()
        leaves += shard_leaves
        for line in lines:
            plaintext = opener.decrypt(line)
            found, label = struct.unpack_from("<QH", plaintext)
            features, tag = plaintext[10:-64], plaintext[-64:]
            assert found == index
            message = (
                b"sealnet/v1/record\0" + dataset_id + struct.pack("<QHBI", index, label, 1, len(features)) + features
            )
            assert hmac.compare_digest(hmac.new(tag_key, message, "sha512").digest(), tag)
            features_digest.update(features)
            labels.append(label)
            records.append(struct.pack("<H", label) + features)
            index += 1
    assert index == manifest["records"]
    assert merkle_root(leaves).hex() == manifest["merkle"]["root"]
    return {
        "records": index,
        "serial": manifest["serial"],
        "shape": manifest["shape"],
        "parts": manifest["parts"],
        "manifest_name": newest.name,
        "manifest_sha512": sha512(newest.read_bytes()).hex(),
        "records_sha512": records_digest(manifest, records),
        "features_sha512": features_digest.hexdigest(),
        "labels_sha512": sha512(b"".join(struct.pack("<H", label) for label in labels)).hex(),
    }


def records_digest(manifest: dict, records: list[bytes]) -> str:
    """All that a data set is but its name, as a training receipt names it."""

    def number(n: int) -> bytes:
        return struct.pack("<Q", n)

    def name(text: str) -> bytes:
        return number(len(text.encode())) + text.encode()

    classes, scaling = manifest.get("class_names") or [], manifest.get("scaling") or []
    headings = manifest.get("headings")
    columns = [headings["label"], *headings["features"]] if headings else []
    return sha512(
        b"sealnet/v1/records\0",
        number(len(manifest["shape"])),
        *map(number, manifest["shape"]),
        struct.pack("<H", manifest["classes"]),
        number(len(classes)),
        *map(name, classes),
        number(len(manifest["parts"])),
        *(name(part["name"]) + number(part["records"]) for part in manifest["parts"]),
        number(len(scaling)),
        *(name(column["name"]) + struct.pack("<dd", column["offset"], column["scale"]) for column in scaling),
        number(len(columns)),
        *map(name, columns),
        number(len(records)),
        *records,
    ).hex()


def receipt(path: pathlib.Path, keys: pathlib.Path) -> dict:
    """A training receipt: an in-toto Statement v1 in a DSSE envelope, its members all known."""
    statement = envelope(
        path,
        "application/vnd.in-toto+json",
        b"sealnet/v1/training-receipt",
        keys / "owner/sign.pub.pem",
    )
    assert list(statement) == ["_type", "subject", "predicateType", "predicate"]
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["predicateType"] == "urn:sealnet:training-receipt:v2"
    [subject] = statement["subject"]
    assert list(subject) == ["name", "digest"] and list(subject["digest"]) == ["sha512"]
    said = statement["predicate"]
    decides = ["data", "split", "network", "recipe", "seed", "numerics"]
    assert list(said) == [*decides, "epochs", "validation", "test", "software", "run"], list(said)
    assert list(said["run"]) == ["backend", "threads", "machine", "seconds", "created"]
    assert len(said["epochs"]) == said["recipe"]["epochs"]
    assert said["epochs"][-1]["validation"] == said["validation"]
    return statement


def padded(data: bytes, position: int, length: int) -> tuple[bytes, int]:
    """`length` bytes at `position`, and the position after their zero padding to 16."""
    end = position + length
    after = (end + 15) // 16 * 16
    assert not any(data[end:after])
    return data[position:end], after


def model(path: pathlib.Path, keys: pathlib.Path) -> dict:
    data = path.read_bytes()
    header, body, signature = data[:256], data[256:-64], data[-64:]
    magic, version, scheme, encoding, flags = struct.unpack_from("<8sHBBI", header)
    assert (magic, version, flags) == (b"SEALNETM", 1, 0) and scheme == 2
    verify(keys / "publisher/sign.pub.pem", b"sealnet/v1/model", data[:-64], signature)
    counter, *shape = struct.unpack_from("<I4H", header, 32)
    weight_type, granularity, rounding, feature_type = header[44:48]
    header_len, body_len, plaintext_len = struct.unpack_from("<III", header, 48)
    assert header_len == 256 and body_len == len(body) and (rounding, feature_type) == (1, 1) and weight_type in (1, 2)
    if encoding == 2:
        body = fernet(keys / "publisher/model.key").decrypt(base64.urlsafe_b64encode(body))
    assert len(body) == plaintext_len and sha512(body) == header[64:128]

    sections, position = {}, 0
    while position < len(body):
        kind, section_version, length = struct.unpack_from("<HHI", body, position)
        assert section_version == (3 if kind == 1 else 1) and not any(body[position + 8 : position + 16])
        sections[kind], position = padded(body, position + 16, length)
    # Layers with int8 weights are section 1, with int4 weights section 2.
    assert list(sections) == sorted(sections) and set(sections) <= {weight_type, 3, 5, 6, 7}

    layers, position, stored = [], 16, sections[weight_type]
    (logit_scale,) = struct.unpack_from("<f", stored)
    for inputs, outputs in zip(shape, shape[1:]):
        scales = outputs if granularity == 2 else 1
        bias, position = padded(stored, position, 4 * outputs)
        multiplier, position = padded(stored, position, 4 * scales)
        shift, position = padded(stored, position, scales)
        weights, position = padded(stored, position, -(-inputs // 16) * -(-outputs // 4) * (64 if weight_type == 1 else 32))
        layers.append(
            {
                "bias": list(struct.unpack(f"<{outputs}i", bias)),
                "multiplier": list(struct.unpack(f"<{scales}i", multiplier)),
                "shift": list(shift),
                "weights": (unpacked if weight_type == 1 else unpacked_int4)(weights, inputs, outputs),
            }
        )
    seed, count, classes = struct.unpack_from("<QHH", sections[3])
    golden = [list(struct.unpack_from(f"<{classes}i", sections[3], 16 + 4 * classes * n)) for n in range(count)]
    for vector, expected in enumerate(golden):
        assert logits(layers, golden_input(seed, vector, shape[0])) == expected, f"golden vector {vector}"
    return {
        "shape": shape,
        "weights": "int8" if weight_type == 1 else "int4",
        "counter": counter,
        "provenance": header[60],
        "logit_scale": logit_scale,
        "model_digest": header[64:128].hex(),
        "golden": golden,
        "reply_policy": sections[5][0],
        "kernel": sections[5][1],
        "scaling": [list(pair) for pair in struct.iter_unpack("<ff", sections[6])] if 6 in sections else None,
        "names": names(sections[7], shape[0], shape[3]) if 7 in sections else None,
    }


def unpacked(weights: bytes, inputs: int, outputs: int) -> list[list[int]]:
    """[outputs][inputs] of halfwords: in tiles of 64 outputs, two inputs after two up to a multiple of 16, two outputs after two."""
    halves = iter(struct.unpack(f"<{len(weights) // 2}h", weights))
    rows = [[0] * (inputs + -inputs % 16) for _ in range(-(-outputs // 4) * 4)]
    for tile in range(0, outputs, 64):
        for column in range(0, inputs + -inputs % 16, 2):
            for row in range(tile, min(tile + 64, len(rows)), 2):
                for i in (column, column + 1):
                    half = next(halves)
                    even = (half + 128) % 256 - 128
                    rows[row][i], rows[row + 1][i] = even, (half - even) // 256
    assert next(halves, None) is None and not any(any(row) for row in rows[outputs:])
    assert not any(any(row[inputs:]) for row in rows)
    return [row[:inputs] for row in rows[:outputs]]


def unpacked_int4(weights: bytes, inputs: int, outputs: int) -> list[list[int]]:
    """[outputs][inputs] of halfwords: four outputs after four, of each of them the inputs up to a multiple of 16."""
    halves = iter(struct.unpack(f"<{len(weights) // 2}h", weights))
    columns = inputs + -inputs % 16
    rows = []
    for _ in range(0, outputs, 4):
        four = [[], [], [], []]
        for _ in range(columns):
            half = next(halves)
            for row in four[:3]:
                row.append(half % 16 - 8)
                half //= 16
            four[3].append(half)
        rows += four
    assert next(halves, None) is None and not any(any(row) for row in rows[outputs:])
    assert not any(any(row[inputs:]) for row in rows)
    assert all(-7 <= weight <= 7 for row in rows for weight in row)
    return [row[:inputs] for row in rows[:outputs]]


def names(section: bytes, inputs: int, outputs: int) -> dict:
    columns, classes = struct.unpack_from("<HH", section)
    assert columns in (0, inputs) and classes in (0, outputs) and not any(section[4:16])
    texts, position = [], 16
    for _ in range(columns + classes):
        length = section[position]
        assert length > 0
        texts.append(section[position + 1 : position + 1 + length].decode())
        position += 1 + length
    assert position == len(section)
    return {"columns": texts[:columns], "classes": texts[columns:]}


def logits(layers: list[dict], values: list[int]) -> list[int]:
    """The integer network: round half up after each layer, u8 between layers."""
    for depth, layer in enumerate(layers):
        outputs = []
        for o, row in enumerate(layer["weights"]):
            scale = o if len(layer["multiplier"]) > 1 else 0
            total = layer["bias"][o] + sum(w * x for w, x in zip(row, values))
            shift = layer["shift"][scale]
            scaled = (total * layer["multiplier"][scale] + (1 << (shift - 1))) >> shift
            hidden = depth + 1 < len(layers)
            outputs.append(min(max(scaled, 0), 255) if hidden else min(max(scaled, -(2**31)), 2**31 - 1))
        values = outputs
    return values


def golden_input(seed: int, vector: int, width: int) -> list[int]:
    """SplitMix64; the low byte of each word, in odd vectors only where the high byte is below 51."""
    mask, values = 2**64 - 1, []
    state = (seed + (vector << 32)) & mask
    for _ in range(width):
        state = (state + 0x9E3779B97F4A7C15) & mask
        z = state
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & mask
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB & mask
        z ^= z >> 31
        values.append(0 if vector % 2 == 1 and z >> 56 >= 51 else z & 0xFF)
    return values


def answer(path: pathlib.Path, key: pathlib.Path) -> dict:
    """A device's receipt: what the carried bytes say, which is all that is signed."""
    document = json.loads(path.read_text())
    assert document["_type"] == "https://in-toto.io/Statement/v1"
    assert document["predicateType"] == "urn:sealnet:device-receipt:v1"
    said = document["predicate"]
    receipt = base64.b64decode(said.pop("receipt"), validate=True)
    signed, signature, domain = receipt[:256], receipt[256:], b"sealnet/v1/device-receipt"
    magic, version, scheme, verdict = struct.unpack_from("<4sHBB", receipt)
    assert len(receipt) == 320 and (magic, version) == (b"SNRC", 2)
    if key.suffix == ".pem":
        assert scheme == 2
        verify(key, domain, signed, signature)
    else:
        assert scheme == 1
        secret = base64.b64decode(key.read_text())
        tag = hmac.new(secret, domain + b"\0" + sha512(signed), "sha512").digest()
        assert hmac.compare_digest(tag, signature)
    firmware, boot, message = struct.unpack_from("<IIQ", receipt, 88)
    (label,) = struct.unpack_from("<H", receipt, 168)
    assert not any(receipt[170:176])
    signed_says = {
        "scheme": ["hmac-sha512", "ed25519"][scheme - 1],
        "device": receipt[8:24].rstrip(b"\0").decode(),
        "firmware_version": firmware,
        "boot": boot,
        "message": message,
        "nonce": receipt[240:256].hex(),
        "request_sha512": receipt[104:168].hex(),
        "label": label,
        "logits_sha512": receipt[176:240].hex(),
        "verdict": ["not-evaluated", "accept", "suspicious"][verdict],
    }
    assert said == signed_says, (said, signed_says)
    assert document["subject"] == [{"name": "model", "digest": {"sha512": receipt[24:88].hex()}}]
    return signed_says | {"model_sha512": receipt[24:88].hex()}


def main() -> None:
    command, path, keys = sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
    if command == "vault":
        report = vault(path, keys)
    elif command == "model":
        report = model(path, keys)
    elif command == "answer":
        report = answer(path, keys)
    else:
        report = receipt(path, keys)
    json.dump(report, sys.stdout)


if __name__ == "__main__":
    main()

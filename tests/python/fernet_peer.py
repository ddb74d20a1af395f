"""The Fernet peer: Python's `cryptography`. Reads one JSON request a line on stdin, answers one a line.

    {"op": "encrypt", "key", "plaintext_hex", "time"}   -> {"token"}
    {"op": "decrypt", "keys", "token", "ttl", "now"}    -> {"plaintext_hex"} or {"error"}
    {"op": "rotate",  "keys", "token"}                  -> {"token"}
"""

import json
import sys

from cryptography.fernet import Fernet, InvalidToken, MultiFernet


def answer(request: dict) -> dict:
    if request["op"] == "encrypt":
        plaintext = bytes.fromhex(request["plaintext_hex"])
        return {"token": Fernet(request["key"]).encrypt_at_time(plaintext, request["time"]).decode()}
    keys = MultiFernet([Fernet(key) for key in request["keys"]])
    try:
        if request["op"] == "rotate":
            return {"token": keys.rotate(request["token"]).decode()}
        if request.get("ttl") is None:
            plaintext = keys.decrypt(request["token"])
        else:
            plaintext = keys.decrypt_at_time(request["token"], request["ttl"], request["now"])
    except InvalidToken:
        return {"error": "InvalidToken"}
    return {"plaintext_hex": plaintext.hex()}


for line in sys.stdin:
    print(json.dumps(answer(json.loads(line))), flush=True)

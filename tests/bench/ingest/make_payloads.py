"""Signed payloads of 10 KB for the ingest benchmark: GitHub's own examples of `issues` events, each made another's.

Design: the examples of @octokit/webhooks-examples (tests/integration/payloads.py fetches them) that are a little
smaller than the wanted size. Each copy has an issue of its own (number, ids, title), so that keys differ, and a body
of words that fills it to exactly that size. Repeatable: the words come from a seed. Signed here, so that loads need
not. The file's format is that of pool.h.
"""
from __future__ import annotations

import copy
import hashlib
import hmac
import json
import random
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tests" / "integration"))
import payloads as examples  # noqa: E402
from payloads import Unavailable  # noqa: F401, E402  (what write() raises)

SIZE_BYTES = 10240
ROOM_BYTES = 200  # An example must be smaller by that, for the title and a body.
SEED = 20190515
FIRST_NUMBER = 100001  # Numbers of one length, so that sizes are equal.
FIRST_ID = 444500041
WORDS = """about after again also any apply because been before build cannot change check client cluster code config
container controller could create crash current default deploy does error even every expected fails file first found
from have image install instead into issue kubernetes label latest line local logs make model more namespace need node
notebook only open operator pipeline please pod problem release request resource restart result running same see server
service should since some start status step still support test than that their then there these this timeout training
update used user using value version volume want when where which while will with without work would""".split()


def words(chance: random.Random, size: int) -> str:
    """Text of exactly `size` characters."""
    text = ""
    while len(text) < size:
        text += chance.choice(WORDS) + " "
    return text[:size]


def encode(content: dict) -> bytes:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()


def vary(example: dict, index: int, chance: random.Random) -> bytes:
    """The example as an event of another issue, SIZE_BYTES long."""
    content = copy.deepcopy(example)
    issue, number = content["issue"], FIRST_NUMBER + index
    content["issue"] = {key: value.replace(f"/issues/{issue['number']}", f"/issues/{number}")
                        if isinstance(value, str) else value for key, value in issue.items()}
    content["issue"].update(id=FIRST_ID + index, number=number, title=words(chance, 60).strip(), body="")
    content["issue"]["body"] = words(chance, SIZE_BYTES - len(encode(content)))
    return encode(content)


def write(path: Path, secret: bytes, count: int) -> int:
    """Writes `count` payloads, signed; how many different examples they come from."""
    fitting = [payload.content for payload in examples.load() if payload.event == "issues"
               and SIZE_BYTES // 2 < len(payload.body) <= SIZE_BYTES - ROOM_BYTES]
    chance = random.Random(SEED)
    with open(path, "wb") as file:
        for index in range(count):
            body = vary(fitting[index % len(fitting)], index, chance)
            key = f"{fitting[index % len(fitting)]['repository']['id']}#{FIRST_NUMBER + index}"
            signature = "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest()
            file.write(f"{len(body)} {key} {signature}\n".encode() + body + b"\n")
    return len(fitting)

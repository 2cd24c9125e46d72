"""Misbehaviour on request: rules that say which request, or which delivery, goes wrong and how.

The first rule that matches and is not used up decides. A rule with a probability asks a generator of its own, seeded
by the rule, so that the same requests in the same order meet the same fate in every run. Rules are not saved: a
sandbox that starts is a well-behaved one. server.py and webhooks.py carry out what a rule says.
"""

import fnmatch
import random
import threading

# kind → members that it needs, with their defaults.
REQUEST_KINDS = {
    "latency": {"ms": 1000}, "late_answer": {"ms": 1000},
    "status": {"status": 502, "body": None, "headers": {}},
    "status_after": {"status": 502, "body": None, "headers": {}},
    "secondary": {"status": 403, "retry_after": 1}, "primary": {"reset_s": 5},
    "lost_request": {}, "lost_answer": {}, "truncated": {}}
DELIVERY_KINDS = {"webhook_drop": {}, "webhook_delay": {"ms": 1000}, "webhook_duplicate": {},
                  "webhook_bad_signature": {}}
MATCHERS = {"method", "path", "actor", "event", "hook"}
COMMON = {"count": None, "skip": 0, "probability": None, "seed": 1}


class Faults:
    """The rules; usable from any thread."""

    def __init__(self):
        self._lock = threading.Lock()
        self._rules = []
        self._next_id = 1

    def add(self, rule):
        """Takes a rule as the admin API has it, returns its id; ValueError says what is wrong with it."""
        kind = rule.get("kind")
        own = REQUEST_KINDS.get(kind, DELIVERY_KINDS.get(kind))
        if own is None:
            raise ValueError(f"kind must be one of {', '.join([*REQUEST_KINDS, *DELIVERY_KINDS])}, not {kind!r}")
        unknown = set(rule) - set(own) - set(COMMON) - MATCHERS - {"kind"}
        if unknown:
            raise ValueError(f"a fault of kind {kind} has no member {', '.join(sorted(unknown))}")
        made = {**COMMON, **own, **rule}
        check_numbers(made)
        with self._lock:
            made["id"], self._next_id = self._next_id, self._next_id + 1
            made["hits"], made["seen"], made["random"] = 0, 0, random.Random(made["seed"])
            self._rules.append(made)
            return made["id"]

    def list(self):
        with self._lock:
            return [{k: v for k, v in rule.items() if k != "random"} for rule in self._rules]

    def remove(self, rule_id=None):
        """Removes one rule, or all; returns how many there were."""
        with self._lock:
            before = len(self._rules)
            self._rules = [] if rule_id is None else [r for r in self._rules if r["id"] != rule_id]
            return before - len(self._rules)

    def for_request(self, method, path, actor):
        """The rule that decides this request, or None."""
        return self._first(REQUEST_KINDS, lambda rule: (
            rule.get("method") in (None, method)
            and fnmatch.fnmatchcase(path, rule.get("path") or "*")
            and fnmatch.fnmatchcase(actor, rule.get("actor") or "*")))

    def for_delivery(self, hook_id, event):
        """The rule that decides this delivery, or None."""
        return self._first(DELIVERY_KINDS, lambda rule: (
            rule.get("event") in (None, event) and rule.get("hook") in (None, hook_id)))

    def _first(self, kinds, matches):
        with self._lock:
            for rule in self._rules:
                if rule["kind"] in kinds and matches(rule) and self._strikes(rule):
                    return dict(rule)
        return None

    @staticmethod
    def _strikes(rule):
        """Whether a matching rule acts this time; counts."""
        if rule["count"] is not None and rule["hits"] >= rule["count"]:
            return False
        rule["seen"] += 1
        if rule["seen"] <= rule["skip"]:
            return False
        if rule["probability"] is not None and rule["random"].random() >= rule["probability"]:
            return False
        rule["hits"] += 1
        return True


def check_numbers(rule):
    """ValueError when a number of the rule is none or out of range."""
    for name, low, high in (("ms", 0, 600_000), ("count", 0, 10**9), ("skip", 0, 10**9), ("probability", 0, 1),
                            ("status", 100, 599), ("reset_s", 0, 86_400), ("retry_after", 0, 86_400)):
        value = rule.get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float))
                                  or not low <= value <= high):
            raise ValueError(f"{name} must be a number from {low} to {high}, not {value!r}")

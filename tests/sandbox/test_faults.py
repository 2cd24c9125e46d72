"""Misbehaviour of the REST API on request."""

import http.client
import time
import unittest

from fixture import ForgeTest

BROKEN = (http.client.HTTPException, ConnectionError)


class Faults(ForgeTest):
    def fault(self, kind, **members):
        return self.admin("POST", "faults", {"kind": kind, **members})["id"]

    def put(self):
        return self.alice.post(self.issue + "/labels", {"labels": ["bug"]})

    def test_a_status_without_the_effect_and_one_after_it(self):
        for kind, labels in (("status", []), ("status_after", ["bug"])):
            with self.subTest(kind):
                self.fault(kind, status=503, method="POST", path="/repos/*/labels", count=1)
                self.expect(503, self.put())
                self.assertEqual(self.labels(), labels)
        self.expect(200, self.put())

    def test_a_lost_answer_after_the_effect_and_a_lost_request_before_it(self):
        for kind, labels in (("lost_request", []), ("lost_answer", ["bug"])):
            with self.subTest(kind):
                self.fault(kind, method="POST", count=1)
                with self.assertRaises(BROKEN):
                    self.put()
                self.assertEqual(self.labels(), labels)
        self.assertEqual([e["status"] for e in self.admin("GET", "requests?method=POST")["requests"]], [0, 0])

    def test_a_truncated_answer(self):
        self.fault("truncated", count=1)
        with self.assertRaises(http.client.IncompleteRead):
            self.put()
        self.assertEqual(self.labels(), ["bug"])

    def test_rate_limits(self):
        self.fault("secondary", status=429, retry_after=7, count=1)
        answer = self.put()
        self.assertIn("secondary rate limit", self.expect(429, answer)["message"])
        self.assertEqual(answer.headers["Retry-After"], "7")
        self.fault("secondary", retry_after=None, count=1)
        answer = self.put()
        self.expect(403, answer)
        self.assertNotIn("Retry-After", answer.headers)
        self.fault("primary", reset_s=9, count=1)
        answer = self.put()
        self.expect(403, answer)
        self.assertEqual(answer.headers["X-RateLimit-Remaining"], "0")
        self.assertAlmostEqual(int(answer.headers["X-RateLimit-Reset"]), time.time() + 9, delta=5)
        self.assertEqual(self.labels(), [])

    def test_latency(self):
        for kind in ("latency", "late_answer"):
            self.fault(kind, ms=60, count=1)
            started = time.monotonic()
            self.expect(200, self.put())
            self.assertGreaterEqual(time.monotonic() - started, 0.06)

    def test_matching_counts_and_skips(self):
        rule = self.fault("status", method="GET", path="/repos/acme/*", actor="ali*", skip=1, count=2)
        self.expect(200, self.anyone.get(self.issue))
        self.assertEqual([self.alice.get(self.issue).status for _ in range(4)], [200, 502, 502, 200])
        self.assertEqual(self.admin("GET", "faults")["faults"][0]["hits"], 2)
        self.admin("DELETE", f"faults/{rule}")
        self.assertEqual(self.admin("GET", "faults")["faults"], [])

    def test_probability_is_repeatable(self):
        runs = []
        for _ in range(2):
            rule = self.fault("status", probability=0.5, seed=7)
            runs.append([self.alice.get(self.issue).status for _ in range(16)])
            self.admin("DELETE", f"faults/{rule}")
        self.assertEqual(runs[0], runs[1])
        self.assertEqual(set(runs[0]), {200, 502})

    def test_nonsense_is_refused(self):
        for rule in ({"kind": "rain"}, {"kind": "status", "mss": 3}, {"kind": "latency", "ms": -1},
                     {"kind": "status", "probability": 3}, {"kind": "status", "status": "x"}):
            with self.subTest(rule=rule):
                self.admin("POST", "faults", rule, expect=422)


if __name__ == "__main__":
    unittest.main()

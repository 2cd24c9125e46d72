#!/usr/bin/env python3
"""tests/bench/labeler/bench.py: what an event, an issue and a million known issues cost the labeler.

The real daemon on a real Kafka, with the sandbox forge as GitHub (ground.py).

    skipping   github.events full of what a labeler has nothing to do with; beside a consumer on librdkafka, with the
               same settings, that only counts, and one that also has the headers parsed
    issues     records of new issues, one after the other: time until the first API call, calls for each
    memory     a labeler that starts over a long topic of decisions: its memory, and how long it takes

Invariant: rounds of contestants follow one another on the same topic; rates are those between a tenth and nine tenths
of the records, so that neither start nor end counts.
"""
from __future__ import annotations

import argparse
import collections
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True
sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "lib"), str(Path(__file__).resolve().parent)]
import procfs  # noqa: E402
import report  # noqa: E402
from ground import READY_S, Ground  # noqa: E402
from proc import Failed, wait_until  # noqa: E402

SKIPPED = re.compile(r'^nodag_kernel_events_total\{result="skipped"\} (\S+)', re.MULTILINE)
LOOK_S = 0.05  # Between two looks at the labeler's metrics.
STUCK_S = 120
LARGE_BYTES = 10240  # As the payloads of issues are.
GITHUB_PER_HOUR = 5000  # Requests that GitHub allows an installation.
PACE_S = 0.08  # Between two issues: each is alone.
# GET issue, GET timeline; POST labels; with a comment POST that, too.
LEAST_CALLS = {"acme": 3, "loud": 4}


# -- skipping ----------------------------------------------------------------------------------------------------------


def watch_skipping(labeler, count: int) -> dict:
    """Follows a labeler until it has skipped all; the rate and the processor time of the middle."""
    looks = []
    deadline = time.monotonic() + STUCK_S
    while not looks or looks[-1][1] < count:
        if time.monotonic() > deadline or not labeler.proc.alive():
            raise Failed(f"the labeler skipped {looks[-1][1] if looks else 0} of {count} events\n{labeler.proc.tail()}")
        time.sleep(LOOK_S)
        found = SKIPPED.search(labeler.ask_admin("/metrics")[1])
        looks.append((time.monotonic(), float(found.group(1)) if found else 0, procfs.cpu_s(labeler.proc.pid)))
    begin = next(look for look in looks if look[1] >= count / 10)
    end = next(look for look in looks if look[1] >= count * 9 / 10)
    if end[1] <= begin[1]:  # all within one look
        begin = next((look for look in reversed(looks) if look[1] < count / 10), looks[0])
    records = end[1] - begin[1]
    return {"records": records, "seconds": end[0] - begin[0], "cpu_s": end[2] - begin[2]}


def skip_round(ground: Ground, count: int) -> dict[str, dict]:
    """Everyone once over the records that its group has not had yet."""
    rivals = {}
    for who, more in (("counts", []), ("parses headers", ["--headers"])):
        rivals[who] = ground.make("consume", count, "--group", who.replace(" ", "-"), *more)
    labeler = ground.labeler().start()
    try:
        rivals["nodag"] = watch_skipping(labeler, count)
    finally:
        labeler.end()
    return rivals


def report_skipping(found: report.Report, rounds: list[dict[str, dict]], at: str) -> None:
    for who in rounds[0]:
        found.figure("skipped events a second", "", [one[who]["records"] / one[who]["seconds"] for one in rounds], who, at)
    for who in rounds[0]:
        found.figure("processor time of a skipped event", "µs", [one[who]["cpu_s"] / one[who]["records"] * 1e6
                                                                for one in rounds], who, at)
    for who, meaning in (("counts", "a librdkafka consumer that only counts"),
                         ("parses headers", "a librdkafka consumer that has the headers parsed")):
        found.ratio(f"skipped events a second, {at}", f"{meaning}, same topic and settings",
                    [one["nodag"]["records"] / one["nodag"]["seconds"] / (one[who]["records"] / one[who]["seconds"])
                     for one in rounds])
        found.ratio(f"processor time of a skipped event, {at}", f"{meaning}, all threads",
                    [one["nodag"]["cpu_s"] / one["nodag"]["records"] / (one[who]["cpu_s"] / one[who]["records"])
                     for one in rounds], more_is_better=False)


def measure_skipping(found: report.Report, ground: Ground, quick: bool) -> None:
    small, large, round_count = (100_000, 0, 1) if quick else (500_000, 50_000, 3)
    report.say(f"labeler: filling github.events with {small:,} events …")
    ground.make("skipped", small)
    rounds = []
    for number in range(round_count):
        report.say(f"labeler: skipping, round {number + 1} of {round_count} …")
        for group in ("counts", "parses-headers", "nodag-labeler"):
            ground.make("rewind", 1, "--group", group)
        rounds.append(skip_round(ground, small))
    report_skipping(found, rounds, f"{small:,} small events")
    if large:
        report.say(f"labeler: skipping {large:,} large events …")
        ground.make("skipped", large, "--value-bytes", LARGE_BYTES)
        report_skipping(found, [skip_round(ground, large)], f"{large:,} events of 10 KB")


# -- issues ------------------------------------------------------------------------------------------------------------


class Sender:
    """Publishes an event for an issue and says when."""

    def __init__(self, ground: Ground):
        self.process = subprocess.Popen([str(ground.records), "--what", "opened", "--brokers", ground.kafka.brokers],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def send(self, repository_id: int, number: int, full_name: str) -> tuple[float, float]:
        """Seconds since 1970: sent, acknowledged by the broker."""
        self.process.stdin.write(f"{repository_id} {number} {full_name}\n")
        self.process.stdin.flush()
        words = self.process.stdout.readline().split()
        if len(words) != 3:
            raise Failed("an event was not acknowledged")
        return int(words[1]) / 1e6, int(words[2]) / 1e6

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def reached(labeler) -> float:
    """How many reconciles ended well."""
    return labeler.metric('nodag_kernel_reconciles_total{outcome="done"}') or 0


class Issues:
    """Sends events of issues to a labeler and keeps what came of it."""

    def __init__(self, ground: Ground, labeler):
        self.ground, self.labeler, self.sender = ground, labeler, Sender(ground)
        self.acknowledged_s: list[float] = []

    def pass_by(self, issues: list[tuple[int, int, str]]) -> tuple[dict, list]:
        """Sends the events one by one and waits until all are done; {(name, number): sent}, the requests."""
        before, done = len(self.ground.recorder.requests), reached(self.labeler)
        sent = {}
        for repository_id, number, full_name in issues:
            begun = time.monotonic()
            sent[full_name, number], acknowledged = self.sender.send(repository_id, number, full_name)
            self.acknowledged_s.append(acknowledged - sent[full_name, number])
            time.sleep(max(0.0, PACE_S - (time.monotonic() - begun)))
        wait_until(lambda: reached(self.labeler) >= done + len(issues), STUCK_S, "all issues to be done", self.labeler.proc)
        return sent, self.ground.recorder.requests[before:]


def first_call_s(sent: dict, requests: list, of_issue: bool) -> list[float]:
    """For each issue: from its record to the first request about it, or about its repository."""
    first: dict[str, float] = {}
    for request in requests:
        for path in (request.path, "/".join(request.path.split("/")[:4])):
            first.setdefault(path, request.at)
    return [first[f"/repos/{name}/issues/{number}" if of_issue else f"/repos/{name}"] - at
            for (name, number), at in sent.items()]


def count_calls(sent: dict, requests: list) -> tuple[float, float]:
    """Calls for each issue: those about the issue, and all."""
    own = collections.Counter()
    for request in requests:
        parts = request.path.split("/")
        if len(parts) > 5 and parts[4] == "issues" and parts[5].isdigit():
            own[f"{parts[2]}/{parts[3]}", int(parts[5])] += 1
    return statistics.fmean(own[issue] for issue in sent), len(requests) / len(sent)


def report_latency(found: report.Report, what: str, seconds: list[float]) -> None:
    found.figure("time from record to API call", "ms", percentile(seconds, 0.5) * 1e3, "median", what)
    found.figure("time from record to API call", "ms", percentile(seconds, 0.99) * 1e3, "99th percentile", what)


def measure_issues(found: report.Report, ground: Ground, quick: bool) -> None:
    cold_count, warm_count = (3, 30) if quick else (10, 200)
    report.say("labeler: issues …")
    cold = [(ground.repository(f"acme/cold-{i}"), f"acme/cold-{i}") for i in range(cold_count)]
    cold_issues = [(known, ground.open_issues(name, 1)[0], name) for known, name in cold]
    warm_issues = {}
    for owner in LEAST_CALLS:
        known = ground.repository(f"{owner}/warm")
        warm_issues[owner] = [(known, number, f"{owner}/warm") for number in ground.open_issues(f"{owner}/warm", warm_count)]
    labeler = ground.labeler().start()
    issues = Issues(ground, labeler)
    try:
        issues.pass_by([warm_issues[owner].pop() for owner in LEAST_CALLS])  # it has a token, the repositories are known
        sent, requests = issues.pass_by(cold_issues)
        report_latency(found, "first issue of a repository: about the repository", first_call_s(sent, requests, False))
        report_latency(found, "first issue of a repository: about the issue", first_call_s(sent, requests, True))
        found.figure("API calls an issue", "", count_calls(sent, requests)[1], at="first of a repository, labels")
        for owner, kind in (("acme", "labels"), ("loud", "labels and comment")):
            sent, requests = issues.pass_by(warm_issues[owner])
            check_written(ground, warm_issues[owner], owner)
            if owner == "acme":
                seconds = first_call_s(sent, requests, True)
                report_latency(found, "further issue", seconds)
                found.ratio("time from record to API call, further issue, median",
                            "the time that the broker takes to acknowledge the record",
                            percentile(seconds, 0.5) / percentile(issues.acknowledged_s, 0.5), more_is_better=False)
            report_calls(found, f"further issue, {kind}", count_calls(sent, requests), LEAST_CALLS[owner])
        sent, requests = issues.pass_by(warm_issues["acme"])
        report_calls(found, "looked at again, nothing to write", count_calls(sent, requests), 2)
    finally:
        issues.sender.close()
        labeler.end()


def check_written(ground: Ground, issues: list, owner: str) -> None:
    """Nobody may be fast by not doing it."""
    for _known, number, name in (issues[0], issues[-1]):
        seen = ground.sandbox.issue(name, number)
        if "kind/bug" not in seen["labels"] or len(seen["comments"]) != LEAST_CALLS[owner] - 3:
            raise Failed(f"{name}#{number} was not labelled: {seen['labels']}, {len(seen['comments'])} comments")


def report_calls(found: report.Report, what: str, calls: tuple[float, float], least: int) -> None:
    own, all_calls = calls
    found.figure("API calls an issue", "", all_calls, at=what)
    found.figure("issues an hour within GitHub's limit", "", GITHUB_PER_HOUR / all_calls, at=what)
    found.ratio(f"API calls, {what}", f"the {least} that GitHub's API needs at least, the repository's share included",
                all_calls / least, 1.1, more_is_better=False)
    if own > least:
        found.note(f"{what}: {own:.2f} calls about the issue itself, {least} expected.")


# -- memory ------------------------------------------------------------------------------------------------------------


def boot(ground: Ground) -> dict:
    """Starts a labeler until it is ready; time and memory."""
    labeler = ground.labeler()
    began = time.monotonic()
    labeler.start(wait=False)
    try:
        with procfs.Peak(labeler.proc.pid) as peak:
            wait_until(labeler.ready_file.exists, READY_S, "the labeler to be ready", labeler.proc)
        seconds = time.monotonic() - began
        labeler.wait_ready()
        return {"seconds": seconds, "cpu_s": procfs.cpu_s(labeler.proc.pid), "peak": peak.anonymous,
                "anonymous": procfs.memory(labeler.proc.pid).anonymous}
    finally:
        labeler.end()


def measure_memory(found: report.Report, ground: Ground, quick: bool) -> None:
    sizes = (10_000, 100_000) if quick else (100_000, 1_000_000)
    booted, filled, key_bytes = {0: boot(ground)}, 0, 0
    for size in sizes:
        report.say(f"labeler: starting over {size:,} known issues …")
        key_bytes = ground.make("predictions", size - filled, "--first", filled)["key_bytes"]
        filled = size
        booted[size] = boot(ground)
    for size, one in booted.items():
        at = f"{size:,} known issues"
        found.figure("memory", "MB, anonymous", one["anonymous"] / 1e6, "once ready", at)
        found.figure("memory", "MB, anonymous", one["peak"] / 1e6, "peak until then", at)
        found.figure("start", "s", one["seconds"], "until ready", at)
        found.figure("start", "s", one["cpu_s"], "processor", at)
    small, large = sizes
    an_issue = (booted[large]["anonymous"] - booted[small]["anonymous"]) / (large - small)
    found.note("Anonymous memory: what the process has of its own (RssAnon). It is given back to the system when the labeler "
               "becomes ready; the peak is what librdkafka fetches ahead.")
    found.figure("memory for one more known issue", "bytes", an_issue)
    found.ratio("memory for one more known issue", f"the {key_bytes} bytes of its key", an_issue / key_bytes,
                more_is_better=False)
    found.ratio("growth of memory", f"what {large:,} known issues need through {large // small} × {small:,}",
                (booted[large]["anonymous"] - booted[0]["anonymous"])
                / (large / small * (booted[small]["anonymous"] - booted[0]["anonymous"])), 1.2, more_is_better=False)
    found.ratio("growth of the start", f"processor time for {large:,} known issues through {large // small} × {small:,}",
                (booted[large]["cpu_s"] - booted[0]["cpu_s"]) / (large / small * (booted[small]["cpu_s"] - booted[0]["cpu_s"])),
                1.5, more_is_better=False)
    rival = ground.make("consume", large, "--topic", "predictions", "--group", "counts-predictions")
    found.ratio("processor time of the start", "a librdkafka consumer that only counts the same records",
                (booted[large]["cpu_s"] - booted[0]["cpu_s"]) / large / (rival["cpu_s"] / rival["records"]),
                more_is_better=False)


def measure(options: argparse.Namespace) -> report.Report:
    found = report.Report("labeler")
    with Ground(options.build) as ground:
        measure_skipping(found, ground, options.quick)
        measure_issues(found, ground, options.quick)
        measure_memory(found, ground, options.quick)
    return found


if __name__ == "__main__":
    sys.exit(report.main("labeler", __doc__, measure))

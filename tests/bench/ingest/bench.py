#!/usr/bin/env python3
"""tests/bench/ingest/bench.py: nodag's door beside librdkafka alone (the limit) and a Go server (the rival).

Signed deliveries of 10 KB over kept connections, one outstanding on each, from GitHub's own examples of `issues`
events. The limit sends the same payloads with as many records outstanding as there are connections, and nothing
between it and the broker. The rival is rival/main.go: Go's net/http with franz-go. All write the same topic of the same
broker, compressed in the same way; client, contestant and broker share this machine.

Design: contests of some seconds, all contestants one after the other for each number of connections, in rounds, the
order rotated from round to round; a ratio is computed within a round, and shown is the median of the rounds with the
least and the largest. Every contest has a fresh topic and a fresh process, and a warm-up that is not measured.
"""
from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

sys.dont_write_bytecode = True
HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "lib")]
import contestants  # noqa: E402
import make_payloads  # noqa: E402
import report  # noqa: E402
from broker import Broker  # noqa: E402
from contestants import Contest, Measured  # noqa: E402

SECRET = b"It's a Secret to Everybody"
PAYLOADS = 1024
CONNECTIONS = [1, 16, 64, 256]
ROUNDS, WARM_UP_MS, DURATION_MS = 3, 2000, 5000
QUICK_CONNECTIONS, QUICK_ROUNDS, QUICK_WARM_UP_MS, QUICK_DURATION_MS = [1, 16], 1, 1000, 1500
BROKER_WARM_UP_MS, QUICK_BROKER_WARM_UP_MS = 15000, 3000  # Until its Java machine has compiled what is hot.
BROKER_WARM_UP_OUTSTANDING = 64
# A new topic is written to before it is used: its partitions get leaders one by one, and a producer that asks too early
# waits for seconds (franz-go 2.5) until it asks again.
PRIME_OUTSTANDING, PRIME_MS = 64, 200

LIMIT, DOOR, RIVAL = "limit", "door", "Go rival"
MEASURES = {LIMIT: contestants.measure_limit, DOOR: contestants.measure_door, RIVAL: contestants.measure_rival}
SERVERS = (DOOR, RIVAL)

# The aims: by connections, and for memory.
AIM_OF_LIMIT = {16: 0.8}
AIM_OF_RIVAL = {16: 2.5, 64: 2.5}
AIM_OF_RIVAL_P99 = {16: 0.5, 64: 0.5}
AIM_CPU_MS = {16: 0.06, 64: 0.06}
AIM_REST_MB = 10

Rounds = dict[tuple[str, int], list[Measured]]


def at(connections: int) -> str:
    return f"{connections} connection" + ("s" if connections > 1 else "")


def run_rounds(options: argparse.Namespace, broker: Broker, names: list[str], pool: Path, secret: Path) -> Rounds:
    """Every contest, in an order that no contestant profits from."""
    found: Rounds = {}

    def contest(name: str, connections: int, warm_up_ms: int, duration_ms: int) -> Measured:
        def run(who: str, connections: int, warm_up_ms: int, duration_ms: int) -> Measured:
            return MEASURES[who](Contest(broker, options.build / "bench", options.build / "bin", pool, secret,
                                         connections, warm_up_ms, duration_ms))

        broker.renew_topic()
        run(LIMIT, PRIME_OUTSTANDING, 0, PRIME_MS)
        return run(name, connections, warm_up_ms, duration_ms)

    report.say("ingest: warming the broker up")
    contest(LIMIT, BROKER_WARM_UP_OUTSTANDING, 0, QUICK_BROKER_WARM_UP_MS if options.quick else BROKER_WARM_UP_MS)
    for number in range(options.rounds):
        for connections in options.connections:
            for turn in range(len(names)):
                name = names[(turn + number) % len(names)]
                result = contest(name, connections, options.warm_up_ms, options.duration_ms)
                report.say(f"ingest: round {number + 1} of {options.rounds}, {at(connections)}, {name}: "
                           f"{result.rate:,.0f} a second")
                found.setdefault((name, connections), []).append(result)
    return found


def add_figures(result: report.Report, found: Rounds) -> None:
    rows = [("deliveries", "a second", "rate"), ("p50", "ms", "p50_ms"), ("p99", "ms", "p99_ms"),
            ("CPU a delivery", "ms", "cpu_ms"), ("the broker's CPU a delivery", "ms", "broker_ms")]
    memory = [("peak memory, anonymous", "MB", "peak_mb"), ("peak memory, all resident", "MB", "resident_peak_mb"),
              ("memory after the load, anonymous", "MB", "after_mb")]
    for title, unit, key in [*rows, *memory]:
        for (name, connections), rounds in found.items():
            if (title, unit, key) in rows or name in SERVERS:
                result.figure(title, unit, [getattr(item, key) for item in rounds], name, at(connections))
    for name in SERVERS:
        rest = [item.rest_mb for (who, _), rounds in found.items() if who == name for item in rounds]
        if rest:
            result.figure("memory at rest, anonymous", "MB", rest, name, "ready")


def add_ratios(result: report.Report, found: Rounds, connections: list[int]) -> None:
    def through(other: str, key: str, count: int) -> list[float]:
        return [getattr(own, key) / getattr(its, key) for own, its in zip(found[DOOR, count], found[other, count])]

    for count in connections:
        result.ratio(f"deliveries a second, {at(count)}", "door / limit", through(LIMIT, "rate", count),
                     AIM_OF_LIMIT.get(count))
    for key, title, aims, more in (("rate", "deliveries a second", AIM_OF_RIVAL, True),
                                   ("p99_ms", "p99", AIM_OF_RIVAL_P99, False), ("cpu_ms", "CPU a delivery", {}, False)):
        for count in connections:
            if (RIVAL, count) in found:
                result.ratio(f"{title}, {at(count)}", "door / Go rival", through(RIVAL, key, count), aims.get(count),
                             more)
    for count in connections:
        if count in AIM_CPU_MS:
            result.ratio(f"CPU a delivery in ms, {at(count)}", "door", [item.cpu_ms for item in found[DOOR, count]],
                         AIM_CPU_MS[count], more_is_better=False)
    result.ratio("anonymous MB at rest", "door", [item.rest_mb for count in connections for item in found[DOOR, count]],
                 AIM_REST_MB, more_is_better=False)


def measure(options: argparse.Namespace) -> report.Report:
    for program in ("bench/nodag-bench-load", "bench/nodag-bench-produce", "bin/nodag-ingest-github",
                    "bin/nodag-topics"):
        report.need_program(options.build / program)
    result = report.Report("ingest")
    names = [LIMIT, DOOR, RIVAL]
    why_not = contestants.build_rival(options.build / "bench")
    if why_not:
        names.remove(RIVAL)
        result.note(f"The Go rival was left out: {why_not}.")
    with tempfile.TemporaryDirectory(prefix="nodag-bench-ingest-") as name:
        pool, secret = Path(name) / "pool", Path(name) / "secret"
        secret.touch(mode=0o600)
        secret.write_bytes(SECRET)
        try:
            make_payloads.write(pool, SECRET, PAYLOADS)
        except make_payloads.Unavailable as why:
            raise report.Skipped(f"no payloads: {why}") from None
        with Broker(options.build / "bin" / "nodag-topics") as broker:
            found = run_rounds(options, broker, names, pool, secret)
    add_figures(result, found)
    add_ratios(result, found, options.connections)
    result.note(f"{PAYLOADS} payloads of {make_payloads.SIZE_BYTES:,} bytes, {contestants.COMPRESSION} at level 1, "
                f"linger 0; {options.rounds} rounds of {options.duration_ms / 1000:g} s each: median (least–largest).")
    result.note("CPU a delivery is user and system time of the contestant's process; client, contestant and broker "
                f"share {len(os.sched_getaffinity(0))} cores.")
    return result


def whole_numbers(text: str) -> list[int]:
    numbers = [int(part) for part in text.split(",")]
    if any(number < 1 for number in numbers):
        raise argparse.ArgumentTypeError(f"'{text}' is not a list of numbers above 0")
    return numbers


def main() -> int:
    parser = report.parser_of("ingest", __doc__)
    parser.add_argument("--connections", type=whole_numbers, metavar="N,…", help="default: 1,16,64,256")
    parser.add_argument("--rounds", type=int, metavar="N", help=f"default: {ROUNDS}")
    parser.add_argument("--duration-ms", type=int, metavar="MS", help=f"of one contest (default: {DURATION_MS})")
    parser.add_argument("--warm-up-ms", type=int, metavar="MS", help=f"before it (default: {WARM_UP_MS})")

    def measure_with_defaults(options: argparse.Namespace) -> report.Report:
        quick = options.quick
        options.connections = options.connections or (QUICK_CONNECTIONS if quick else CONNECTIONS)
        options.rounds = options.rounds or (QUICK_ROUNDS if quick else ROUNDS)
        options.duration_ms = options.duration_ms or (QUICK_DURATION_MS if quick else DURATION_MS)
        options.warm_up_ms = options.warm_up_ms or (QUICK_WARM_UP_MS if quick else WARM_UP_MS)
        return measure(options)

    return report.main("ingest", __doc__, measure_with_defaults, parser)


if __name__ == "__main__":
    sys.exit(main())

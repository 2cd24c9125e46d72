"""Who takes part in the ingest benchmark: the limit, nodag's door, the Go rival. Each is measured in the same way.

Design: a contestant runs once for each contest, in a process of its own that is started for it: the door and the rival
before the load, the limit as its own load. Processor time is that of its process over the whole run, warm-up
included, through all its deliveries; the load's and the broker's are told apart.
"""
from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
sys.path[:0] = [str(ROOT / "tests" / "bench" / "lib"), str(ROOT / "deploy" / "local" / "lib")]
import procfs  # noqa: E402
from broker import Broker  # noqa: E402
from proc import Failed, Proc, wait_until  # noqa: E402

READY_S = 30
LOAD_MARGIN_S = 60  # A load ends by itself; this is for one that does not.
GO_BUILD_S = 600
COMPRESSION = "zstd"  # Everybody's, at level 1, and github.events' own: the broker need not compress again.
MS, MB = 1000, 1e6
GO_ENV = {"CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly -buildvcs=false"}


@dataclass(frozen=True)
class Contest:
    """What a contest is about; times as the loads' options have them."""
    broker: Broker
    programs: Path  # the benchmarks' own
    daemons: Path
    pool: Path
    secret: Path
    connections: int
    warm_up_ms: int
    duration_ms: int

    def load(self, program: str, *options) -> dict:
        """Runs a load to its end; what it printed."""
        command = [self.programs / program, "--pool", self.pool, "--warm-up", f"{self.warm_up_ms}ms", "--duration",
                   f"{self.duration_ms}ms", *options]
        try:
            done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False,
                                  timeout=(self.warm_up_ms + self.duration_ms) / MS + LOAD_MARGIN_S)
        except subprocess.TimeoutExpired:
            raise Failed(f"{program} did not end") from None
        if done.returncode != 0:
            raise Failed(done.stderr.strip() or f"{program} exited with {done.returncode}")
        return json.loads(done.stdout)


@dataclass(frozen=True)
class Measured:
    """One contest of one contestant. Memory only of servers."""
    rate: float
    p50_ms: float
    p99_ms: float
    cpu_ms: float  # a delivery
    broker_ms: float  # of the broker's processor time, a delivery
    rest_mb: float = 0  # anonymous, when it is ready
    after_mb: float = 0  # anonymous, when the load has ended
    peak_mb: float = 0  # anonymous
    resident_peak_mb: float = 0


def measured(found: dict, cpu_s: float, broker_s: float, **memory) -> Measured:
    return Measured(found["rate"], found["p50_us"] / MS, found["p99_us"] / MS, cpu_s * MS / found["count"],
                    broker_s * MS / found["count"], **memory)


def measure_limit(contest: Contest) -> Measured:
    """librdkafka's idempotent producer alone."""
    before = contest.broker.cpu_s()
    found = contest.load("nodag-bench-produce", "--brokers", contest.broker.address, "--outstanding",
                         contest.connections, "--compression", COMPRESSION)
    return measured(found, found["cpu_s"], contest.broker.cpu_s() - before)


def measure_server(contest: Contest, proc: Proc, port: int) -> Measured:
    """A server that is ready, under the load."""
    rest = procfs.memory(proc.pid).anonymous
    before, broker_before = procfs.cpu_s(proc.pid), contest.broker.cpu_s()
    with procfs.Peak(proc.pid) as peak:
        found = contest.load("nodag-bench-load", "--port", port, "--connections", contest.connections)
    cpu, broker, memory = procfs.cpu_s(proc.pid), contest.broker.cpu_s(), procfs.memory(proc.pid)
    return measured(found, cpu - before, broker - broker_before, rest_mb=rest / MB, after_mb=memory.anonymous / MB,
                    peak_mb=max(peak.anonymous, memory.anonymous) / MB, resident_peak_mb=memory.resident_peak / MB)




def measure_door(contest: Contest) -> Measured:
    """nodag's door as it is run: a file of secrets, its limits, its memory of deliveries, its metrics."""
    with tempfile.TemporaryDirectory(prefix="nodag-bench-door-") as name:
        folder = Path(name)
        ready, secrets = folder / "ready", folder / "secrets.yaml"
        secrets.write_text(f"secrets:\n  - {{id: bench, file: {contest.secret}, organisations: [Codertocat, Octocoders]}}\n",
                           encoding="utf-8")
        proc = Proc.start([contest.daemons / "nodag-ingest-github", "--listen", "127.0.0.1:0", "--secrets", secrets,
                           "--brokers", contest.broker.address, "--admin-address", "127.0.0.1:0", "--ready-file",
                           ready], folder / "log")
        try:
            wait_until(ready.exists, READY_S, "the door to be ready", proc)
            return measure_server(contest, proc, announced_port(ready.read_text(encoding="utf-8")))
        finally:
            proc.stop()


def measure_rival(contest: Contest) -> Measured:
    """Go's net/http and franz-go."""
    with tempfile.TemporaryDirectory(prefix="nodag-bench-rival-") as name:
        log = Path(name) / "log"
        proc = Proc.start([rival_program(contest.programs), "127.0.0.1:0", contest.broker.address, contest.secret],
                          log)
        try:
            wait_until(lambda: "port=" in log.read_text(encoding="utf-8"), READY_S, "the rival to listen", proc)
            return measure_server(contest, proc, announced_port(log.read_text(encoding="utf-8")))
        finally:
            proc.kill()


def announced_port(text: str) -> int:
    return int(re.search(r"^port=(\d+)$", text, re.MULTILINE).group(1))


# -- the rival's program -----------------------------------------------------------------------------------------------


def rival_program(programs: Path) -> Path:
    return programs / "nodag-bench-rival"


def build_rival(programs: Path) -> str | None:
    """Builds it; else why it could not be."""
    if not shutil.which("go"):
        return "there is no Go (deploy/local/install --for bench)"
    done = subprocess.run(["go", "build", "-o", rival_program(programs), "."], cwd=HERE / "rival", text=True,
                          env={**os.environ, **GO_ENV}, timeout=GO_BUILD_S, check=False, capture_output=True)
    if done.returncode == 0:
        return None
    return "it does not build: " + (done.stderr.strip().splitlines() or ["go build said nothing"])[-1]

"""The real daemons around a sandbox whose REST API is reached through prism.

    people's acts ─▶ sandbox ─webhook─▶ nodag-ingest-github ─▶ Kafka ─▶ nodag-labeler ─▶ ContractProxy ─▶ sandbox

Design: Kafka, its topics and a small model are made once (`Ground`); each way for the labeler to prove who it is has a
`LabelerStack` of its own: sandbox, proxy and daemons. What the labeler asked is read from the sandbox's own log of
requests, so that nothing counts that only looked like a request.

Invariants: nothing sleeps for a fixed time; every wait has a deadline and ends early when a daemon has ended;
repository ids of two stacks differ, because Kafka remembers what was decided about the first one's issues.
"""
import contextlib
import fnmatch
import os
import sys
import tempfile
import unittest
from datetime import datetime, timezone
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
LOCAL = ROOT / "deploy" / "local"
sys.path[:0] = [str(path) for path in (HERE, HERE.parent / "sandbox", HERE.parent / "integration", LOCAL, LOCAL / "lib",
                                       LOCAL / "kafka")]

import history                                                      # noqa: E402  (after the path above)
from contract_proxy import ContractProxy, Unavailable, install      # noqa: E402
from daemon import Daemon, run_program                              # noqa: E402
from fixture import Forge                                           # noqa: E402
from kafka import LocalKafka                                        # noqa: E402
from proc import Failed, wait_until                                 # noqa: E402
from sandbox_api import Sandbox                                     # noqa: E402

WAIT_S = 60                  # for anything that a daemon must do; with sanitizers on a busy machine
EXAMPLES = 400               # of made-up history that the model is trained on: its labels are then easy to tell apart
MIN_EXAMPLES = 20
TRAINED_UNTIL = datetime(2026, 6, 1, tzinfo=timezone.utc)   # fixed, so that every run has the same model
SECRET = "contract"
REPOSITORY_IDS = 1000        # how far the ids of two stacks lie apart
DOCUMENT = """\
apiVersion: nodag.dev/v1
kind: Labeler
metadata: {{name: contract}}
spec:
  repositories: ["acme/*", "other/*"]
  labels: {{include: ["area/*", "kind/*"]}}
  models: [{{file: {model}}}]
  since: 2020-01-01
  comment: edit
"""


def issue_text(kind, area, variant=0):
    """Title and body that are plainly of a kind and of an area; `variant` chooses among the words for the area."""
    subject = history.AREAS[area][variant]
    body = "\n\n".join(history.KINDS[kind]["body"]).format(s=subject)
    return {"title": history.KINDS[kind]["title"][0].format(s=subject), "body": body}


class Ground:
    """Kafka with nodag's topics, and a model. Raises unittest.SkipTest, with the reason, where it cannot be had."""

    def __init__(self):
        self.bin = Path(os.environ.get("NODAG_BIN") or ROOT / "build" / "asan" / "bin")
        if not (self.bin / "nodag-labeler").exists():
            raise unittest.SkipTest(f"{self.bin}/nodag-labeler is not built (cmake --preset asan && cmake --build "
                                    "--preset asan, or name the folder of another build by NODAG_BIN)")
        try:
            install()
        except Unavailable as error:
            raise unittest.SkipTest(str(error)) from None
        self._temporary = tempfile.TemporaryDirectory(prefix="nodag-contract-")
        self.folder = Path(self._temporary.name)
        self.stacks = 0
        self.kafka = LocalKafka(self.folder / "kafka")
        try:
            self.kafka.start()
            run_program([self.bin / "nodag-topics", "create", "--replication", "1", *self.kafka_options()])
            self.document = self._train()
        except BaseException:
            self.stop()
            raise

    def kafka_options(self):
        path = self.folder / "kafka.properties"
        path.write_text("broker.address.family=v4\n", encoding="ascii")
        return ["--brokers", self.kafka.brokers, "--kafka-properties", str(path)]

    def _train(self):
        """Trains the model; the path of a Labeler document that names it."""
        data, model, document = (self.folder / name for name in ("history.csv", "label.model", "labeler.yaml"))
        history.write_csv(data, history.generate(EXAMPLES, 1, TRAINED_UNTIL))
        run_program([self.bin / "nodag-model", "train", "--data", data, "--model", model,
                     "--min-examples", MIN_EXAMPLES, "--exclusive", "kind/*"])
        document.write_text(DOCUMENT.format(model=model), encoding="utf-8")
        return document

    def stop(self):
        with contextlib.suppress(Failed):       # a broker that must be killed at the end is no failure of the contract
            self.kafka.stop()
        self._temporary.cleanup()


class LabelerStack:
    """Sandbox, proxy, door and labeler. Set the sandbox up by `sandbox`, then `start_labeler()`."""

    def __init__(self, ground, name):
        self.ground, self.name = ground, name
        self.mark = 0                            # requests before it are not looked at; see forget()
        self._stopping = contextlib.ExitStack()
        ground.stacks += 1
        try:
            self.forge = Forge()
            self.forge.state.data["counters"]["repo"] = REPOSITORY_IDS * ground.stacks
            self.sandbox = Sandbox(self.forge.start())
            self._stopping.callback(self.forge.stop)
            self.proxy = self._stopping.enter_context(ContractProxy(self.forge.base))
            self.labeler = None
            self.door = self._start_door()
        except BaseException:
            self.stop()
            raise

    def _start_door(self):
        secret = self._file("webhook", SECRET)
        door = self._daemon("nodag-ingest-github", "--listen", "127.0.0.1:0", "--secret-file", secret, "--scope", "*")
        self.hook_url = f"http://127.0.0.1:{door.port}/webhooks/github"
        return door

    def start_labeler(self, *who):
        """`who` are the options with its credentials."""
        self.labeler = self._daemon("nodag-labeler", "--specs", self.ground.document,
                                    "--forge-url", self.proxy.base_url, "--backoff-least", "50ms",
                                    "--sweep-interval", "1d", *who)

    def _daemon(self, program, *arguments):
        folder = self.ground.folder / f"{self.name}-{program}"
        daemon = Daemon(self.ground.bin / program, [*self.ground.kafka_options(), *map(str, arguments)], folder)
        self._stopping.callback(daemon.end)
        return daemon.start()

    def _file(self, name, text):
        path = self.ground.folder / f"{self.name}-{name}"
        path.write_text(text, encoding="ascii")
        return path

    def token_file(self, token):
        return self._file("token", token)

    def stop(self):
        """Ends everything; fails when a daemon did not drain, or a sanitizer complained."""
        self._stopping.close()

    # ---- the sandbox's people ----

    def set_up(self, path, body):
        return self.sandbox.post(f"/_sandbox/{path}", body)

    def act(self, do, repository="acme/rocket", **members):
        return self.sandbox.act({"do": do, "repository": repository, **members})[0]

    def open(self, text, repository="acme/rocket", **members):
        """Somebody opens an issue; its number."""
        return self.act("open", repository, **text, **{"as": "bob", **members})["issue"]["number"]

    def look(self, number, repository="acme/rocket"):
        """(labels, comments) of an issue, as two lists."""
        seen = self.sandbox.issue(repository, number)
        return sorted(seen["labels"]), [comment["body"] for comment in seen["comments"]]

    @contextlib.contextmanager
    def just_before(self, method, path, do):
        """When such a request has come, and before the sandbox looks at it, lets `do` happen; once."""
        waiting, rules = [do], self.forge.faults
        judge = rules.for_request

        def interpose(asked, where, actor):
            if asked == method and fnmatch.fnmatchcase(where, path) and waiting:
                waiting.pop()()
            return judge(asked, where, actor)
        rules.for_request = interpose
        try:
            yield
        finally:
            rules.for_request = judge
        if waiting:
            raise AssertionError(f"there was no {method} {path}")

    # ---- what the labeler asked ----

    def forget(self):
        """What was asked so far is not looked at by requests() and wait_for()."""
        self.mark = self.sandbox.get("/_sandbox/requests")["last"]

    def requests(self, method="*", path="*", status=None, since=None):
        """What was asked: the entries of the sandbox's log that match."""
        found = self.sandbox.get(f"/_sandbox/requests?since={self.mark if since is None else since}")["requests"]
        return [entry for entry in found if fnmatch.fnmatchcase(entry["method"], method)
                and fnmatch.fnmatchcase(entry["path"], path) and status in (None, entry["status"])]

    def wait_for(self, method, path, status):
        """Until such a request was answered so."""
        return wait_until(lambda: self.requests(method, path, status), WAIT_S,
                          f"{method} {path} to be answered {status}", self.labeler.proc)

    def outcomes(self, name):
        """How many reconciles ended so."""
        return int(self.labeler.metric(f'nodag_kernel_reconciles_total{{outcome="{name}"}}') or 0)

    @contextlib.contextmanager
    def ends(self, outcome):
        """What happens inside leads to a reconcile that is done, or stalled."""
        other = {"done": "stalled", "stalled": "done"}[outcome]
        before = {name: self.outcomes(name) for name in (outcome, other)}
        yield

        def ended():
            if self.outcomes(outcome) > before[outcome]:
                return True
            if self.outcomes(other) > before[other]:
                raise AssertionError(f"a reconcile ended {other} instead of {outcome}\n{self.labeler.proc.tail(2)}\n"
                                     f"{self.proxy.violations()}")
            return False
        wait_until(ended, WAIT_S, f"a reconcile to end {outcome}", self.labeler.proc)

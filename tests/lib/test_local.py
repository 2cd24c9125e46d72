"""The pieces of the local stack that need no Kafka: child processes, ports, the probe, the pinned jars."""
import hashlib
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import unittest
from pathlib import Path

LOCAL = Path(__file__).resolve().parents[2] / "deploy" / "local"
sys.path[:0] = [str(LOCAL / "lib"), str(LOCAL / "kafka")]
import distribution  # noqa: E402
from probe import ask_cluster  # noqa: E402
from proc import Failed, Proc, free_ports, port_is_free, start_ticks, wait_until  # noqa: E402

LONG_S = 30  # never waited for in full: what is tested happens at once
STUBBORN = "trap '' TERM; echo ready; while :; do read -t 1 x <>/dev/zero || :; done"


class Processes(unittest.TestCase):
    """Proc in its states."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.log = Path(folder.name) / "log"

    def start(self, *argv, **options) -> Proc:
        proc = Proc.start(list(argv), self.log, **options)
        self.addCleanup(proc.kill)
        return proc

    def test_stop_ends_it_by_term(self):
        proc = self.start("sleep", "60")
        proc.stop(LONG_S)
        self.assertFalse(proc.alive())
        self.assertEqual(proc.status, -signal.SIGTERM)
        proc.stop()  # twice is no harm

    def test_stop_says_when_only_kill_helped(self):
        proc = self.start("bash", "-c", STUBBORN)
        wait_until(lambda: "ready" in proc.tail(), LONG_S, "the trap")
        with self.assertRaisesRegex(Failed, "did not stop within 0.2 s"):
            proc.stop(0.2)
        self.assertFalse(proc.alive())

    def test_stop_ends_a_paused_one(self):
        proc = self.start("sleep", "60")
        proc.signal(signal.SIGSTOP)
        proc.stop(LONG_S)
        self.assertFalse(proc.alive())

    def test_wait_until_notices_an_exit_and_shows_the_output(self):
        proc = self.start("sh", "-c", "echo no such luck; exit 3")
        with self.assertRaisesRegex(Failed, "(?s)exited with status 3 before it served.*no such luck"):
            wait_until(lambda: False, LONG_S, "it served", proc)

    def test_wait_until_has_a_deadline(self):
        with self.assertRaisesRegex(Failed, "waited 0.05 s for a miracle"):
            wait_until(lambda: False, 0.05, "a miracle")

    def test_it_dies_with_its_parent_unless_detached(self):
        for detach in (False, True):
            with self.subTest(detach=detach):
                code = ("import sys; from pathlib import Path; from proc import Proc; "
                        f"child = Proc.start(['sleep', '60'], Path({str(self.log)!r}), detach={detach}); "
                        "print(child.pid, flush=True); sys.stdin.read()")
                parent = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                          env={**os.environ, "PYTHONPATH": str(LOCAL / "lib")})
                self.addCleanup(parent.stdin.close)
                self.addCleanup(parent.stdout.close)
                pid = int(parent.stdout.readline())
                child = Proc.adopt("sleep", pid, start_ticks(pid), [self.log])
                parent.kill()
                parent.wait()
                self.assertEqual(child.wait(0.2 if detach else LONG_S), not detach)
                child.kill()

    def test_adopt_is_not_fooled_by_another_process(self):
        self.assertIsNone(Proc.adopt("x", os.getpid(), start_ticks(os.getpid()) + 1, [self.log]))


class Ports(unittest.TestCase):
    """free_ports and port_is_free."""

    def test_ports_are_free_distinct_and_below_the_ephemeral_range(self):
        lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split()[0])
        ports = free_ports(20)
        self.assertEqual(len(set(ports)), 20)
        self.assertTrue(all(port_is_free(port) for port in ports))
        if lowest > 16000:
            self.assertLess(max(ports), lowest)

    def test_a_port_in_use_is_not_free(self):
        with socket.create_server(("127.0.0.1", 0)) as server:
            self.assertFalse(port_is_free(server.getsockname()[1]))


class Probe(unittest.TestCase):
    """ask_cluster against a server that answers with given bytes."""

    def ask(self, answer_for) -> str | None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]

            def serve():
                link, _ = server.accept()
                with link:
                    link.recv(1000)
                    link.sendall(answer_for(port))

            thread = threading.Thread(target=serve)
            thread.start()
            found = ask_cluster(port)
            thread.join()
            return found

    @staticmethod
    def answer(port: int, controller: int = 1) -> bytes:
        def text(value):
            return struct.pack(">h", len(value)) + value
        body = struct.pack(">iii", 1, 0, 1) + struct.pack(">i", 1) + text(b"127.0.0.1") + struct.pack(">ih", port, -1)
        body += text(b"the-cluster") + struct.pack(">ii", controller, 0)
        return struct.pack(">i", len(body)) + body

    def test_serving_broker(self):
        self.assertEqual(self.ask(self.answer), "the-cluster")

    def test_not_yet_or_not_ours(self):
        for name, answer in (("other port", lambda port: self.answer(port + 1)),
                             ("no controller", lambda port: self.answer(port, -1)),
                             ("cut", lambda port: self.answer(port)[:20]),
                             ("short", lambda port: struct.pack(">i", 4) + b"\0\0\0\1"),
                             ("silent", lambda port: b""), ("web server", lambda port: b"HTTP/1.1 400\r\n\r\n")):
            with self.subTest(name):
                self.assertIsNone(self.ask(answer))

    def test_nobody_there(self):
        self.assertIsNone(ask_cluster(free_ports(1)[0]))


class Jars(unittest.TestCase):
    """The jars must be the pinned ones, no more and no fewer."""

    def verify(self, pinned: dict, present: dict) -> None:
        with tempfile.TemporaryDirectory() as folder:
            sums = Path(folder) / "checksums.sha256"
            sums.write_text("# head\n" + "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n"
                                                 for name, data in pinned.items()), encoding="ascii")
            for name, data in present.items():
                (Path(folder) / name).write_bytes(data)
            distribution.verify(Path(folder), sums)

    def test_difference_is_named(self):
        self.verify({"a.jar": b"1"}, {"a.jar": b"1"})
        for present, words in (({"a.jar": b"2"}, "a.jar: SHA-256 is"), ({}, "a.jar: missing"),
                               ({"a.jar": b"1", "b.jar": b"1"}, "b.jar: not in")):
            with self.subTest(words), self.assertRaisesRegex(Failed, words):
                self.verify({"a.jar": b"1"}, present)

    def test_missing_program_says_how_to_get_it(self):
        with self.assertRaisesRegex(Failed, "deploy/local/install --for run"):
            distribution.need("no-such-program", "some-package")


if __name__ == "__main__":
    unittest.main()

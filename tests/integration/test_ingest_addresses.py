"""Who may come in: GitHub's published addresses as an allow-list, and clients behind a trusted proxy.

The sandbox plays GitHub: its `GET /meta` names what the test tells it. Clients have different addresses of 127.0.0.0/8,
so that the door sees different TCP peers.
"""
from __future__ import annotations

import http.client
import http.server
import json
import ssl
import subprocess
import sys
import threading

import pytest
from daemon import READY_S, Daemon
from proc import Proc, free_ports, wait_until
from sandbox_api import Sandbox
from webhooks import PATH, Sender, headers_of, issue_payload
from whole_path import ROOT

SECRET = b"secret"
HERE, ELSEWHERE = "127.0.0.1", "127.0.0.2"  # two clients, or a proxy and somebody who is none
GITHUB, STRANGER = "192.30.252.1", "203.0.113.9"  # what a header says
GITHUB_RANGES = ["192.30.252.0/22", "2a0a:a440::/29"]
CHANGED_S = 20  # For a changed answer to be in force, with sanitizers on a busy machine.
QUICK = "1s"  # The shortest --allow-refresh.


class Github:
    """A sandbox that can go away and come back at the same address, and keeps what it publishes."""

    def __init__(self, folder):
        self.folder, self.port = folder, free_ports(1)[0]
        self.url = f"http://127.0.0.1:{self.port}"
        self.sandbox = Sandbox(self.url)
        self.proc = None

    def start(self) -> "Github":
        ready = self.folder / "sandbox.url"
        ready.unlink(missing_ok=True)
        command = [sys.executable, ROOT / "deploy" / "sandbox" / "forge.py", "--port", str(self.port),
                   "--ready-file", ready, "--state", self.folder / "state"]
        self.proc = Proc.start(command, self.folder / "sandbox.log", name="sandbox")
        wait_until(ready.exists, READY_S, "the sandbox to be ready", self.proc)
        self.sandbox.call("PATCH", "/_sandbox/limits", {"anonymous_per_hour": 1000000})
        return self

    def stop(self) -> None:
        if self.proc is not None:
            self.proc.stop()
            self.proc = None

    def publish(self, *ranges) -> None:
        self.sandbox.call("PATCH", "/_sandbox/meta", {"hooks": list(ranges)})

    def answers(self) -> list[int]:
        """Statuses of all answers to GET /meta."""
        return [request["status"] for request in self.sandbox.get("/_sandbox/requests?path=/meta")["requests"]]


@pytest.fixture
def github(tmp_path):
    made = Github(tmp_path)
    yield made.start()
    made.stop()


@pytest.fixture
def start_door(start_daemon, topics_created, tmp_path):
    """start_door(ARGUMENT…): a door."""
    (tmp_path / "secret").write_bytes(SECRET)

    def start(*arguments, port: int = 0, wait: bool = True) -> Daemon:
        return start_daemon("nodag-ingest-github", "--listen", f"127.0.0.1:{port}", "--brokers",
                            topics_created.brokers, "--secret-file", tmp_path / "secret", "--scope", "octo",
                            *arguments, wait=wait)

    return start


def deliver(port: int, source: str = HERE, *lines: str):
    """One good delivery from an address, with further X-Forwarded-For lines: status, body."""
    body = issue_payload(1)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=15, source_address=(source, 0))
    try:
        connection.putrequest("POST", PATH)
        for name, value in [*headers_of("issues", SECRET, body).items(), ("Content-Length", str(len(body))),
                            *[("X-Forwarded-For", line) for line in lines]]:
            connection.putheader(name, value)
        connection.endheaders(body)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def status(port: int, source: str = HERE, *lines: str) -> int:
    return deliver(port, source, *lines)[0]


def refusals(door: Daemon) -> list[dict]:
    return [json.loads(line) for line in door.log_text().splitlines() if '"delivery refused"' in line]


# ---- an allow-list --------------------------------------------------------------------------------------------------


def test_literal_ranges(start_door, events):
    door = start_door("--allow-from", f"{HERE},192.0.2.0/24")
    assert status(door.port) == 202
    code, text = deliver(door.port, ELSEWHERE)
    assert (code, text) == (403, f"deliveries from {ELSEWHERE} are not taken here\n")
    assert len(events.read()) == 1
    assert door.metric('nodag_ingest_github_deliveries_total{status="403",reason="address"}') == 1
    assert [(line["reason"], line["client"]) for line in refusals(door)] == [("address", ELSEWHERE)]
    for path in ("/healthz", "/readyz", "/metrics"):
        assert door.ask_admin(path)[0] == 200


def test_github_ranges_follow_github(start_door, github, events):
    github.publish("127.0.0.1/32")
    door = start_door("--allow-from", "github", "--forge-url", github.url, "--allow-refresh", QUICK)
    assert (status(door.port, HERE), status(door.port, ELSEWHERE)) == (202, 403)
    github.publish("127.0.0.2/32", "2a0a:a440::/29")
    wait_until(lambda: status(door.port, ELSEWHERE) == 202, CHANGED_S, "the new ranges to be in force")
    assert status(door.port, HERE) == 403
    assert door.metric("nodag_ingest_github_hook_ranges") == 2
    wait_until(lambda: 304 in github.answers(), CHANGED_S, "a conditional question")
    # Nothing that is no list replaces a good one.
    failures = 'nodag_ingest_github_hook_ranges_reads_total{result="failed"}'
    for bad in ([], ["127.0.0.0/8", "everybody"], ["0.0.0.0/0"]):
        github.publish(*bad)
        failed = door.metric(failures)
        # Two, because one may have been on the way.
        wait_until(lambda: door.metric(failures) >= failed + 2, CHANGED_S, "questions that fail")
        assert (status(door.port, HERE), status(door.port, ELSEWHERE)) == (403, 202)
    text = door.log_text()
    assert text.count("the former ones stay in force") == 1, "said once for failures of one kind"
    assert len(events.read()) >= 2


def test_sighup_asks_github(start_door, github):
    github.publish("127.0.0.1/32")
    door = start_door("--allow-from", "github", "--forge-url", github.url)
    github.publish("127.0.0.2/32")
    assert status(door.port, ELSEWHERE) == 403
    door.hang_up()
    wait_until(lambda: status(door.port, ELSEWHERE) == 202, CHANGED_S, "the new ranges to be in force")


def test_restart_while_github_is_away(start_door, github, tmp_path):
    github.publish("127.0.0.1/32")
    door = start_door("--allow-from", "github", "--forge-url", github.url, "--allow-cache", tmp_path / "ranges.json")
    door.stop()
    github.publish("127.0.0.2/32")
    github.stop()
    door.start()  # ready, out of the file
    assert (status(door.port, HERE), status(door.port, ELSEWHERE)) == (202, 403)
    assert door.ask_admin("/readyz")[0] == 200
    assert door.metric("nodag_ingest_github_hook_ranges") == 1
    github.start()
    door.hang_up()
    wait_until(lambda: status(door.port, ELSEWHERE) == 202, CHANGED_S, "the new ranges to be in force")
    door.kill()
    github.stop()
    door.start()  # what was last confirmed, also after a crash
    assert (status(door.port, HERE), status(door.port, ELSEWHERE)) == (403, 202)


def test_nothing_known_fails_closed(start_door, github):
    """GitHub is away at the first start: not ready, 503 except for literal ranges; and it recovers by itself."""
    port = free_ports(1)[0]
    github.publish("127.0.0.1/32")
    github.stop()
    door = start_door("--allow-from", f"github,{ELSEWHERE}", "--forge-url", github.url, "--allow-refresh", QUICK,
                      port=port, wait=False)
    wait_until(lambda: "taking deliveries" in door.log_text(), READY_S, "the door to listen", door.proc)
    wait_until(lambda: "the broker can be reached" in door.log_text(), READY_S, "the broker", door.proc)
    code, text = deliver(port, HERE)
    assert (code, "not known yet" in text) == (503, True)
    assert status(port, ELSEWHERE) == 202
    assert not door.ready_file.exists()
    github.start()
    door.wait_ready()
    assert (status(port, HERE), status(port, ELSEWHERE), status(port, "127.0.0.3")) == (202, 202, 403)


class Meta(http.server.BaseHTTPRequestHandler):
    """A GitHub that knows only its addresses."""

    def do_GET(self):
        text = json.dumps({"hooks": ["127.0.0.1/32"]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def https_meta(tmp_path):
    """A Meta behind a certificate that no system trusts: its port and the certificate's file."""
    key, certificate = tmp_path / "meta.key", tmp_path / "meta.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=meta",
                    "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate], check=True,
                   capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Meta)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield server.server_address[1], certificate
    server.shutdown()
    server.server_close()


def test_github_must_prove_who_it_is(start_door, https_meta):
    """An answer under an untrusted certificate is none; with --forge-ca-file it is one, unless the name is another."""
    port, certificate = https_meta
    url, asked = f"https://127.0.0.1:{port}", "GitHub's addresses cannot be asked for"
    door = start_door("--allow-from", "github", "--forge-url", url, wait=False)
    wait_until(lambda: asked in door.log_text(), READY_S, "the door to distrust", door.proc)
    other = start_door("--allow-from", "github", "--forge-url", f"https://localhost:{port}", "--forge-ca-file",
                       certificate, wait=False)
    wait_until(lambda: asked in other.log_text(), READY_S, "the door to distrust the name", other.proc)
    trusting = start_door("--allow-from", "github", "--forge-url", url, "--forge-ca-file", certificate)
    assert (status(trusting.port, HERE), status(trusting.port, ELSEWHERE)) == (202, 403)
    assert not door.ready_file.exists() and not other.ready_file.exists()


# ---- behind a proxy -------------------------------------------------------------------------------------------------


def test_clients_behind_a_proxy(start_door, github, events):
    github.publish(*GITHUB_RANGES)
    door = start_door("--trusted-proxies", f"{HERE},10.0.0.0/8", "--allow-from", "github", "--forge-url", github.url)
    for expected, source, *lines in [
            (202, HERE, GITHUB),
            (202, HERE, "2a0a:a440::1"),
            (202, HERE, f"{STRANGER}, {GITHUB}, 10.0.0.7"),
            (202, HERE, STRANGER, GITHUB),  # lines in order: the proxy's is the last
            (403, HERE, STRANGER),
            (403, HERE, f"{GITHUB}, {STRANGER}"),  # a claim before what the proxy saw
            (403, HERE, GITHUB, STRANGER),
            (403, HERE, f"{GITHUB}, unknown"),
            (403, HERE),
            (403, ELSEWHERE, GITHUB),  # no proxy of ours
            (403, ELSEWHERE, f"{GITHUB}, 10.0.0.7"),
    ]:
        assert status(door.port, source, *lines) == expected, (source, lines)
    assert len(events.read()) == 4
    assert [(line["client"], line.get("peer")) for line in refusals(door)] == [
        (STRANGER, HERE), (STRANGER, HERE), (STRANGER, HERE), (HERE, None), (HERE, None), (ELSEWHERE, None),
        (ELSEWHERE, None)]
    assert door.metric("nodag_ingest_github_unknown_clients_total") == 1


def test_limit_of_a_client_is_not_the_proxys(start_door, events):
    """Many connections of the proxy at once are not one client's."""
    door = start_door("--trusted-proxies", HERE, "--connections-per-address", "1")
    senders = [Sender(door.port) for _ in range(4)]
    for number, sender in enumerate(senders):
        answer = sender.deliver("issues", SECRET, issue_payload(number), X_Forwarded_For=f"192.0.2.{number + 1}")
        assert answer.status == 202
    for sender in senders:
        sender.close()
    assert len(events.read()) == 4


WRONG = [("--trusted-proxies", "10.0.0.1/8", "write 10.0.0.0/8"), ("--trusted-proxies", "0.0.0.0/0", "all addresses"),
         ("--client-address-header", "Forwarded", "RFC 7239"), ("--allow-from", "gitlab", "no address or range"),
         ("--allow-cache", "ranges.json", "--allow-from github")]


@pytest.mark.parametrize("option,value,says", WRONG, ids=[f"{option} {value}" for option, value, _ in WRONG])
def test_mistakes_are_told_at_the_start(start_door, option, value, says):
    door = start_door(option, value, wait=False)
    wait_until(lambda: not door.proc.alive(), READY_S, "the door to end")
    assert door.proc.status == 2
    assert option in door.log_text() and says in door.log_text()

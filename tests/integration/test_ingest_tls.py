"""TLS at a running door: deliveries, certificates that change under load, pairs that cannot be used, strangers.

Certificates are made by openssl(1) and signed by an authority of the test, so that every client here verifies what it
is shown, as GitHub does.
"""
import re
import socket
import ssl
import subprocess
import time

import pytest
from daemon import run_program
from proc import wait_until
from webhooks import ANSWER_S, PATH, Load, Sender, headers_of, issue_payload

SECRET = b"hook-secret"
RELOAD_S = 30
NOT_AFTER = "nodag_ingest_github_tls_certificate_not_after_seconds"
VALID = "nodag_ingest_github_tls_certificate_valid"
READS = 'nodag_ingest_github_tls_certificate_reads_total{{result="{}"}}'
BODY_MAX = 100_000


class Authority:
    """Signs certificates for 127.0.0.1 and puts them where the door reads them."""

    def __init__(self, folder):
        self.folder, self.count = folder, 0
        self.certificate, self.key = folder / "cert.pem", folder / "key.pem"
        self.ca = folder / "ca.pem"
        self._openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "9",
                      "-subj", "/CN=authority of the test", "-keyout", folder / "ca.key", "-out", self.ca)
        (folder / "names").write_text("subjectAltName=IP:127.0.0.1\n", encoding="utf-8")
        self.put()

    def _openssl(self, *arguments):
        subprocess.run(["openssl", *map(str, arguments)], cwd=self.folder, check=True, capture_output=True, timeout=60)

    def make(self, days: int = 5, key: tuple = ("ec", "-pkeyopt", "ec_paramgen_curve:P-256")) -> tuple[bytes, bytes]:
        """A fresh chain and its key."""
        self.count += 1
        self._openssl("req", "-newkey", *key, "-nodes", "-subj", f"/CN=door {self.count}", "-keyout", "made.key",
                      "-out", "made.csr")
        self._openssl("x509", "-req", "-in", "made.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-set_serial",
                      self.count, "-days", days, "-extfile", "names", "-out", "made.pem")
        return ((self.folder / "made.pem").read_bytes() + self.ca.read_bytes(),
                (self.folder / "made.key").read_bytes())

    def put(self, chain: bytes | None = None, key: bytes | None = None) -> int:
        """Puts a fresh pair, or these parts of it, in place, each at once; the serial number of the last one made."""
        made = self.make() if chain is None and key is None else (chain, key)
        for path, text in zip((self.certificate, self.key), made):
            if text is not None:
                (self.folder / "next").write_bytes(text)
                (self.folder / "next").rename(path)
        return self.count

    def encrypted(self, *how) -> bytes:
        """The key in place, with a passphrase."""
        self._openssl(*how, "-in", self.key, "-aes256", "-passout", "pass:secret", "-out", "made.key")
        return (self.folder / "made.key").read_bytes()

    def context(self, **versions) -> ssl.SSLContext:
        """What a client verifies with."""
        context = ssl.create_default_context(cafile=self.ca)
        for name, version in versions.items():
            setattr(context, name, version)
        return context


@pytest.fixture
def authority(tmp_path):
    folder = tmp_path / "certificates"
    folder.mkdir()
    (folder / "secret").write_bytes(SECRET)
    return Authority(folder)


def options(authority, *more):
    return ["--listen", "127.0.0.1:0", "--secret-file", authority.folder / "secret", "--scope", "octo",
            "--tls-certificate", authority.certificate, "--tls-key", authority.key, "--body-max", BODY_MAX, *more]


@pytest.fixture
def start_door(start_daemon, topics_created, authority):
    """start_door(OPTION…): a door that speaks TLS."""
    return lambda *more: start_daemon("nodag-ingest-github", *options(authority, *more), "--brokers",
                                      topics_created.brokers)


@pytest.fixture
def door(start_door):
    return start_door()


def connect(door, authority, **versions) -> ssl.SSLSocket:
    """A connection whose handshake is complete."""
    raw = socket.create_connection(("127.0.0.1", door.port), timeout=ANSWER_S)
    return authority.context(**versions).wrap_socket(raw, server_hostname="127.0.0.1")


def shown(door, authority) -> int:
    """The serial number that a new connection is shown."""
    with connect(door, authority) as connection:
        return int(connection.getpeercert()["serialNumber"], 16)


def exchange(connection, request: bytes) -> bytes:
    """What comes back until the door ends the connection in TLS's own way; ssl raises if it just breaks off."""
    connection.sendall(request)
    text = b""
    while got := connection.recv(65536):
        text += got
    return text


def head_of(event: str, body: bytes, more: str = "") -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers_of(event, SECRET, body).items())
    return f"POST {PATH} HTTP/1.1\r\nHost: door\r\n{lines}{more}\r\n".encode()


# ---- deliveries ----

@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=lambda value: value.name)
def test_delivers(door, authority, events, version):
    context = authority.context(minimum_version=version, maximum_version=version)
    sender = Sender(door.port, context=context)
    bodies = [issue_payload(1), issue_payload(2, padding="x" * 60_000), issue_payload(3)]
    for body in bodies:
        assert sender.deliver("issues", SECRET, body).status == 202
    assert sender.connection.sock.version() == version.name.replace("_", ".")
    assert sender.deliver("issues", b"wrong", bodies[0]).status == 401
    assert sorted(record.value for record in events.read()) == sorted(bodies)


def test_delivers_with_an_rsa_key_and_drains(door, authority, events):
    authority.put(*authority.make(key=("rsa:2048",)))
    wait_until(lambda: shown(door, authority) == authority.count, RELOAD_S, "the RSA certificate to be shown")
    assert Sender(door.port, context=authority.context()).deliver("issues", SECRET, issue_payload(1)).status == 202
    door.stop()
    assert len(events.read()) == 1


@pytest.mark.parametrize("request_bytes,status", [
    (b"GET /old\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    (head_of("issues", b"", f"Content-Length: {BODY_MAX + 1}\r\n"), 413),
    (head_of("issues", b"", "Transfer-Encoding: chunked\r\n") + b"fffff\r\n" + b"x" * 200_000, 413),
    (head_of("issues", b"", f"X: {'x' * 60_000}\r\n"), 431),
    (f"GET /{'x' * 100_000} HTTP/1.1\r\nHost: a\r\n\r\n".encode(), 414),
    (head_of("issues", b"", "Transfer-Encoding: gzip\r\n"), 501),
    (f"POST {PATH} HTTP/1.1\r\nHost: a\r\nContent-Length: 90000\r\n\r\n".encode() + b"x" * 90_000, 400),
], ids=["line", "hosts", "length", "chunks", "headers", "uri", "coding", "unsigned"])
def test_refusals_arrive_as_tls(door, authority, request_bytes, status):
    """Also those that are sent in the midst of a body, each with TLS's own end behind it."""
    with connect(door, authority) as connection:
        text = exchange(connection, request_bytes)
    assert text.startswith(f"HTTP/1.1 {status} ".encode()), text[:200]


def test_a_slow_request_is_answered_408(start_door, authority):
    door = start_door("--request-timeout", "1s")
    with connect(door, authority) as connection:
        text = exchange(connection, head_of("issues", b"", "Content-Length: 10\r\n") + b"abc")
    assert text.startswith(b"HTTP/1.1 408 ")


# ---- certificates ----

def test_certificates_change_under_load(door, authority):
    """New connections see the new one; none fails, kept ones go on with theirs."""
    context = authority.context()
    kept = connect(door, authority)
    serial = int(kept.getpeercert()["serialNumber"], 16)
    with Load(lambda: door.port, SECRET, threads=3, context=context) as steady, \
            Load(lambda: door.port, SECRET, threads=3, context=context, kept=False) as fresh:
        for change in range(3):
            before = steady.count(), fresh.count()
            serial = authority.put()
            if change == 2:
                door.hang_up()
            wait_until(lambda: shown(door, authority) == serial, RELOAD_S, "the new certificate to be shown")
            wait_until(lambda: steady.count() > before[0] + 20 and fresh.count() > before[1] + 20, RELOAD_S,
                       "deliveries after the change")
    assert (steady.statuses(), fresh.statuses(), steady.broken, fresh.broken) == ({202}, {202}, 0, 0)
    kept.sendall(head_of("issues", issue_payload(1), f"Content-Length: {len(issue_payload(1))}\r\n") + issue_payload(1))
    assert kept.recv(1000).startswith(b"HTTP/1.1 202 ")
    kept.close()
    assert door.metric(VALID) == 1
    assert abs(door.metric(NOT_AFTER) - time.time() - 5 * 86400) < 86400


def key_text_in(text: str, authority) -> bool:
    lines = [line for line in authority.key.read_text(encoding="utf-8").splitlines() if line and line[0] != "-"]
    return any(line in text for line in lines)


@pytest.mark.parametrize("spoil,says", [
    (lambda a: a.put(key=a.make()[1]), "does not belong to"),
    (lambda a: a.put(*a.make(days=-1)), "expired at"),
    (lambda a: a.put(chain=b"no certificate"), "BEGIN CERTIFICATE"),
    (lambda a: a.put(key=b"no key"), "BEGIN PRIVATE KEY"),
    (lambda a: a.put(key=a.encrypted("pkey")), "passphrase"),
    (lambda a: a.put(key=a.encrypted("ec")), "passphrase"),
], ids=["mismatch", "expired", "no-chain", "no-key", "encrypted", "encrypted-old"])
def test_a_pair_that_cannot_be_used(door, authority, bin_dir, spoil, says):
    """A running door keeps the former and takes the next good one; a door does not start with it."""
    serial = shown(door, authority)
    not_after = door.metric(NOT_AFTER)
    spoil(authority)
    wait_until(lambda: door.metric(VALID) == 0, RELOAD_S, "the fault to be seen")
    assert door.metric(READS.format("invalid")) >= 1
    assert shown(door, authority) == serial and door.metric(NOT_AFTER) == not_after
    log = door.log_text()
    assert says in log and str(authority.folder) in log and not key_text_in(log, authority)

    command = [bin_dir / "nodag-ingest-github", *options(authority), "--admin-address", "127.0.0.1:0"]
    done = run_program(command, 2)
    assert says in done.stdout + done.stderr and str(authority.folder) in done.stdout + done.stderr
    assert not key_text_in(done.stdout + done.stderr, authority)

    serial = authority.put()
    wait_until(lambda: door.metric(VALID) == 1 and shown(door, authority) == serial, RELOAD_S, "the next good pair")


def test_hang_up_reads_at_once(door, authority):
    before = door.metric(READS.format("valid"))
    door.hang_up()
    wait_until(lambda: door.metric(READS.format("valid")) > before, RELOAD_S, "the certificate to be read")
    assert shown(door, authority) == authority.count


@pytest.mark.parametrize("without,status,says", [
    ("--tls-certificate", 2, "belong together"), ("--tls-key", 2, "belong together")])
def test_both_or_neither(bin_dir, authority, without, status, says):
    arguments = [str(argument) for argument in options(authority)]
    place = arguments.index(without)
    del arguments[place:place + 2]
    done = run_program([bin_dir / "nodag-ingest-github", *arguments, "--admin-address", "127.0.0.1:0"], status)
    assert says in done.stdout + done.stderr


def test_a_file_that_is_not_there(bin_dir, authority):
    authority.key.unlink()
    done = run_program([bin_dir / "nodag-ingest-github", *options(authority), "--admin-address", "127.0.0.1:0"], 1)
    assert re.search(r"key\.pem.*No such file", done.stdout + done.stderr)


# ---- what is no TLS of today ----

@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_old_versions_are_refused(door, authority):
    for version in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1):
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
        old.set_ciphers("ALL:@SECLEVEL=0")  # or the client itself would refuse to try
        old.minimum_version = old.maximum_version = version
        raw = socket.create_connection(("127.0.0.1", door.port), timeout=ANSWER_S)
        with pytest.raises((ssl.SSLError, ConnectionError)) as refused:
            old.wrap_socket(raw)
        assert "NO_PROTOCOLS_AVAILABLE" not in str(refused.value), "the client did not even try"
        raw.close()
    assert shown(door, authority) == 1


def test_strangers_do_no_harm(door, authority):
    for request in (b"GET / HTTP/1.1\r\nHost: door\r\n\r\n", bytes(range(256)) * 10, b"\x16\x03\x01\x00\x02\x01\x00"):
        with socket.create_connection(("127.0.0.1", door.port), timeout=ANSWER_S) as raw:
            raw.sendall(request)
            raw.shutdown(socket.SHUT_WR)
            try:
                while got := raw.recv(1000):
                    assert not got.startswith(b"HTTP/")
            except ConnectionError:
                pass
    assert shown(door, authority) == 1


def test_stalled_handshakes_harm_nobody(start_door, authority):
    """Many clients that begin a handshake and stop, up to the limit of connections but a few: others are served."""
    door = start_door("--connections", 120, "--idle-timeout", "5s")
    stalled = [socket.create_connection(("127.0.0.1", door.port), timeout=ANSWER_S) for _ in range(110)]
    for raw in stalled:
        raw.sendall(b"\x16\x03\x01\x02\x00\x01\x00")
    with Load(lambda: door.port, SECRET, threads=4, context=authority.context(), kept=False) as load:
        wait_until(lambda: load.count() >= 50, RELOAD_S, "deliveries beside stalled handshakes")
    assert load.statuses() == {202} and load.broken == 0
    for raw in stalled:
        raw.settimeout(RELOAD_S)
        try:
            while raw.recv(1000):
                pass
        except ConnectionError:
            pass
        raw.close()
    assert shown(door, authority) == 1

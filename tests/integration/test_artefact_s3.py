"""Artefacts in an S3-compatible store: real runs on a real server that checks every signature, over a road that can be bad.

What must hold however bad the road is: what a run's result names is in the bucket, whole; what is not there is not named; and where a
run fails for the store's sake, its reason says what, where, and what to do.
"""
import hashlib
import random
import re
from pathlib import Path

import pytest
from proc import free_ports
from run_bench import END_S, WRITE_ALL, Bench, make_nodag
from s3_road import Answer, Cut, Hold, Road, Then
from s3_server import Keys, S3Server

BUCKET = "artefacts"
PLACE = "Team_1/models.v2~a-b"  # all the characters that a prefix may have
ORDER = ("dataset", "notebook", "html", "model", "metrics", "predictions", "log")  # of a run's uploads
MIB = 1 << 20
LARGE = 64 * MIB
# What sending it may take: slices, buffers of libcurl; half a megabyte is usual.
STREAM_BYTES = 8 * MIB
PATIENCE = ("--upload-patience", "3s")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = S3Server(tmp_path_factory.mktemp("s3")).start()
    server.client().create_bucket(Bucket=BUCKET)
    yield server
    server.stop()


@pytest.fixture
def road(server: S3Server):
    road = Road(server.port)
    yield road
    road.close()
    for request in road.requests:  # as strict servers ask for; ours is not as strict
        signed = request.signed()
        assert {"host", "x-amz-content-sha256", "x-amz-date"} <= set(signed) <= set(request.headers), request
        assert server.keys.secret.encode() not in request.head
        assert request.headers.get("content-length", "0") == "0" or "transfer-encoding" not in request.headers


@pytest.fixture(scope="module")
def nodag(bin_dir: Path, tmp_path_factory) -> Path:
    return make_nodag(tmp_path_factory.mktemp("nodag"), bin_dir)


@pytest.fixture
def bench(bin_dir: Path, nodag: Path, tmp_path: Path):
    bench = Bench(tmp_path, bin_dir / "nodag-train-run", nodag)
    yield bench
    bench.end()


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    return Keys().write(tmp_path / "keys.yaml")


def at(endpoint: str, keys: Path, place: str = f"{BUCKET}/{PLACE}") -> dict:
    """`artefacts` of run.json."""
    return {"url": f"s3://{place}", "endpoint": endpoint, "credentials_file": str(keys)}


def check_stored(server: S3Server, result: dict, place: str = f"{BUCKET}/{PLACE}") -> dict[str, bytes]:
    """Everything that the result names is there, whole, as another client reads it; the contents by name."""
    contents = {}
    for name, artefact in result["artefacts"].items():
        bucket, _, key = artefact["uri"].removeprefix("s3://").partition("/")
        assert artefact["uri"] == f"s3://{place}/sha256/{artefact['sha256'][:2]}/{artefact['sha256']}"
        contents[name] = server.read(bucket, key)
        assert len(contents[name]) == artefact["size_bytes"], name
        assert hashlib.sha256(contents[name]).hexdigest() == artefact["sha256"], name
    return contents


def test_all_artefacts_are_stored_and_only_once(bench: Bench, server: S3Server, road: Road, keys: Path):
    """Empty, over libcurl's own buffers, and large without being held; what is there already is not sent again."""
    (bench.folder / "data.jsonl").write_bytes(b"")
    cells = (f"import random\nopen(model, 'wb').write(random.Random(7).randbytes({LARGE}))",
             f"open(predictions, 'wb').write(b'p' * {9 * MIB})", "open(metrics, 'w').write('{\"f1_macro\": 1}')")
    peaks = []
    road.on(Then("HEAD", times=len(ORDER), call=lambda: peaks.append(peak_bytes(first.process.pid))))
    first = bench.make(*cells, artefacts=at(road.endpoint, keys)).start()
    result = first.wait()
    assert result["state"] == "SUCCEEDED" and set(result["artefacts"]) == set(ORDER), result["reason"] + first.said()
    stored = check_stored(server, result)
    assert stored["dataset"] == b"" and len(stored["model"]) == LARGE and stored["predictions"] == b"p" * (9 * MIB)
    [sent] = road.seen("PUT", result["artefacts"]["model"]["sha256"])
    assert sent.sent == LARGE and sent.headers["expect"] == "100-continue"
    before, after = peaks[ORDER.index("model")], peaks[ORDER.index("model") + 1]
    assert after - before < STREAM_BYTES
    road.requests.clear()
    again = bench.make(*cells, artefacts=at(road.endpoint, keys)).start().wait()
    old, now = ({artefact["sha256"] for artefact in one["artefacts"].values()} for one in (result, again))
    assert len(road.seen("HEAD")) == len(ORDER) and {request.path[-64:] for request in road.seen("PUT")} == now - old
    assert {again["artefacts"][name]["sha256"] for name in ("dataset", "model", "predictions", "metrics")} <= old
    check_stored(server, again)
    assert set(server.sizes(BUCKET)) == {artefact["uri"].removeprefix(f"s3://{BUCKET}/")
                                         for one in (result, again) for artefact in one["artefacts"].values()}


def peak_bytes(pid: int) -> int:
    """The most memory that a process ever had."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM"))


@pytest.mark.parametrize("wrong, says", [
    ("secret", ["403 SignatureDoesNotMatch", "secret_access_key", "keys.yaml"]),
    ("key", ["403 InvalidAccessKeyId", "does not know the access_key_id", "keys.yaml"]),
    ("bucket", ["404 NoSuchBucket", "make the bucket"]),
    ("region", ["answered 301", "set the region to eu-west-1"]),
    ("file", ["nothing.yaml"]),
])
def test_what_a_person_must_mend(bench: Bench, server: S3Server, road: Road, keys: Path, wrong: str, says: list[str]):
    """Said at once, and not tried again; nothing is stored."""
    artefacts, place = at(road.endpoint, keys), f"{BUCKET}/{wrong}"
    if wrong == "secret":
        Keys(secret="wr/ong+").write(keys)
    elif wrong == "key":
        Keys(key="AKIDNOBODY").write(keys)
    elif wrong == "bucket":
        place = "nobodys/bucket"
    elif wrong == "file":
        artefacts["credentials_file"] = str(keys.with_name("nothing.yaml"))
    else:
        road.on(Answer("HEAD", times=99, status=301, headers="x-amz-bucket-region: eu-west-1\r\n"))
    made = bench.make(WRITE_ALL, artefacts=artefacts | {"url": f"s3://{place}"}).start()
    result = made.wait()
    assert result["state"] == "FAILED" and result["artefacts"] == {}
    reason = result["reason"]
    assert reason.startswith("dataset could not be stored: ") and all(word in reason for word in says), reason
    assert wrong == "file" or f"s3://{place}/sha256/" in reason
    assert "not stored yet" not in made.said() and Keys().secret not in made.said() and "wr/ong+" not in made.said()
    assert not [key for key in server.sizes(BUCKET) if key.startswith(wrong)]


def test_clock_that_is_wrong(bench: Bench, tmp_path: Path):
    """A server whose clock allows no request: the reason says whose time it is."""
    strict = S3Server(tmp_path / "strict", settings={"s3proxy.maximum-timeskew": "-1"}).start()
    try:
        result = bench.make(WRITE_ALL, artefacts=at(strict.endpoint, Keys().write(tmp_path / "keys.yaml"))).start().wait()
    finally:
        strict.stop()
    assert "403 RequestTimeTooSkewed; set the clock of this machine; by the store's clock it is " in result["reason"]


def model_of(seed: int, size: int) -> tuple[str, str]:
    """A cell that writes a model, and its digest."""
    return (f"import random\nopen(model, 'wb').write(random.Random({seed}).randbytes({size}))",
            hashlib.sha256(random.Random(seed).randbytes(size)).hexdigest())


def test_bad_road(bench: Bench, server: S3Server, road: Road, keys: Path):
    """Busy, cut amid a body, the server's own time-out: tried again, and all is there in the end. A body of some megabytes is not sent
    to a store that refuses it by its head."""
    cell, model = model_of(8, 3 * MIB)
    road.on(Answer("HEAD", times=2))
    road.on(Cut("PUT", key=model, after=MIB))
    road.on(Answer("PUT", key=model, status=400, code="RequestTimeout"))
    made = bench.make(WRITE_ALL, cell, artefacts=at(road.endpoint, keys)).start()
    result = made.wait()
    assert result["state"] == "SUCCEEDED" and set(result["artefacts"]) == set(ORDER), result["reason"]
    log = check_stored(server, result)["log"].decode()
    assert log.count("dataset is not stored yet: ") == 2 and "503" in log
    assert log.count("model is not stored yet: ") == 2 and "400 RequestTimeout" in log
    cut, refused, whole = road.seen("PUT", model)
    assert MIB <= cut.sent < 3 * MIB and refused.sent == 0 and whole.sent == 3 * MIB and "expect" in refused.headers


def test_half_an_object_is_never_named(bench: Bench, server: S3Server, road: Road, keys: Path):
    """An upload that is cut each time: the run has failed and says so; all else is there, and of the model nothing."""
    cell, model = model_of(9, 3 * MIB)
    road.on(Cut("PUT", times=99, key=model, after=2 * MIB))
    result = bench.make(WRITE_ALL, cell, artefacts=at(road.endpoint, keys)).start(*PATIENCE).wait()
    assert result["state"] == "FAILED" and set(result["artefacts"]) == set(ORDER) - {"model"}
    assert result["reason"].startswith(f"model could not be stored: artefact store: PUT {road.endpoint}/{BUCKET}/"), result["reason"]
    check_stored(server, result)
    assert len(road.seen("PUT", model)) >= 2 and not [key for key in server.sizes(BUCKET) if model in key]


@pytest.mark.parametrize("how, says", [("refused", "connect"), ("hangs", "timed out")])
def test_store_that_is_away(bench: Bench, road: Road, keys: Path, how: str, says: str):
    """It is waited for as long as there is patience; then nothing more is asked of it."""
    endpoint = road.endpoint if how == "hangs" else f"http://127.0.0.1:{free_ports(1)[0]}"
    road.on(Hold("HEAD", times=99))
    made = bench.make(WRITE_ALL, artefacts=at(endpoint, keys)).start("--upload-patience", "0s" if how == "hangs" else "3s")
    result = made.wait()
    assert result["state"] == "FAILED" and result["artefacts"] == {}
    assert result["reason"].startswith(f"dataset could not be stored: artefact store: HEAD {endpoint}/{BUCKET}/{PLACE}/sha256/")
    assert says in result["reason"], result["reason"]
    assert "notebook" not in result["reason"] and ("not stored yet" in made.said()) == (how == "refused")


def test_store_that_comes_back(bench: Bench, tmp_path: Path, keys: Path):
    """A training is not lost because the store restarts."""
    late = S3Server(tmp_path / "late")
    (tmp_path / "late" / "objects" / BUCKET).mkdir(parents=True)
    made = bench.make(WRITE_ALL, artefacts=at(late.endpoint, keys)).start()
    made.wait_log("dataset is not stored yet")
    late.start()
    try:
        result = made.wait()
        assert result["state"] == "SUCCEEDED" and set(check_stored(late, result)) == set(ORDER), result["reason"]
    finally:
        late.stop()


def test_cancelled_while_the_store_hangs(bench: Bench, road: Road, keys: Path):
    """The second request to stop is obeyed at once."""
    held = road.on(Hold("HEAD", times=99))
    made = bench.make(WRITE_ALL, artefacts=at(road.endpoint, keys)).start()
    assert held.held.wait(END_S)
    made.process.terminate()
    made.wait_log("CANCELLED")
    made.process.terminate()
    result = made.wait()
    assert result["state"] == "CANCELLED" and result["artefacts"] == {}


def test_keys_that_are_rotated(bench: Bench, server: S3Server, road: Road, keys: Path, tmp_path: Path):
    """Amid a run's uploads the old keys end and the file has new ones."""
    fresh = Keys("AKIDROTATED", "new/secret")
    other = S3Server(tmp_path / "rotated", fresh)  # the same bucket, and knows the new keys only
    other.folder.mkdir()
    (other.folder / "objects").symlink_to(server.folder / "objects")
    other.start()

    def rotate() -> None:
        fresh.write(keys)
        road.target = other.port

    try:
        cell, model = model_of(10, MIB)
        road.on(Then("PUT", key=model, call=rotate))
        result = bench.make(WRITE_ALL, cell, artefacts=at(road.endpoint, keys)).start().wait()
    finally:
        other.stop()
    assert result["state"] == "SUCCEEDED", result["reason"]
    check_stored(server, result)
    used = [re.search("Credential=([^/]*)", request.headers["authorization"])[1] for request in road.requests]
    assert used == sorted(used) and set(used) == {Keys().key, fresh.key}

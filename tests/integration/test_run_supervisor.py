"""The supervisor of runs, with the real papermill, nbconvert and git: the example notebook, and notebooks that mean harm.

Every bad notebook is run as a push could bring it. What the supervisor must keep: a verdict that a person can use, the notebook and HTML
stored all the same, no credential within reach, no process left.
"""
import json
import signal
import sys
from datetime import datetime, timezone
from pathlib import Path

import pytest
from proc import wait_until
from run_bench import END_S, ROOT, WRITE_ALL, Bench, make_nodag, processes_with

sys.path.insert(0, str(ROOT / "deploy" / "local"))
from history import generate, write_csv  # noqa: E402  (after the path above)

SECRET = "not-for-notebooks-4711"
MIB = 1 << 20


@pytest.fixture(scope="module")
def nodag(bin_dir: Path, tmp_path_factory) -> Path:
    return make_nodag(tmp_path_factory.mktemp("nodag"), bin_dir)


def is_in_chroot() -> bool:
    """Whether the root folder is no mount point."""
    mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    return all(line.split()[4] != "/" for line in mounts)


@pytest.fixture
def bench(bin_dir: Path, nodag: Path, tmp_path: Path):
    bench = Bench(tmp_path, bin_dir / "nodag-train-run", nodag)
    yield bench
    bench.end()


def test_example_notebook(bench: Bench):
    data = bench.folder / "data.csv"
    write_csv(data, generate(400, 7, datetime(2026, 11, 1, tzinfo=timezone.utc)))
    book = json.loads((ROOT / "deploy" / "notebooks" / "train.ipynb").read_text(encoding="utf-8"))
    assert all(not cell.get("outputs") for cell in book["cells"])
    run = bench.make(book=book, dataset={"file": str(data)}, parameters={"precision_target": 0.7}).start()
    result = run.wait()
    assert result["state"] == "SUCCEEDED", result["reason"] + run.said()
    assert set(result["artefacts"]) == {"notebook", "html", "log", "model", "metrics", "predictions", "dataset"}
    assert result["metrics"] == json.loads(run.artefact("metrics")) and 0 < result["metrics"]["f1_macro"] <= 1
    assert result["artefacts"]["dataset"]["size_bytes"] == data.stat().st_size
    html = run.artefact("html")
    assert "Worst mistakes" in html and html.count("data:image/png") >= 4
    assert "precision_target = 0.7" in run.artefact("notebook")
    assert run.observe() == "FINISHED"
    assert not (run.folder / "scratch").exists() and not (run.folder / "mirror.git").exists()


def test_failing_cell(bench: Bench):
    run = bench.make("print('before')", WRITE_ALL, "raise ValueError('no <good> data')").start()
    result = run.wait()
    assert result["state"] == "FAILED" and "ValueError: no <good> data" in result["reason"] and "cell In [" in result["reason"]
    assert "before" in run.artefact("notebook") and "ValueError" in run.artefact("html")


def test_failing_cell_that_papermill_lets_pass(bench: Bench):
    """A cell with the tag raises-exception does not end papermill; the run has failed all the same."""
    from run_bench import notebook
    book = notebook(WRITE_ALL, "1 / 0")
    book["cells"][-1]["metadata"]["tags"] = ["raises-exception"]
    result = bench.make(book=book).start().wait()
    assert result["state"] == "FAILED" and "ZeroDivisionError" in result["reason"]


@pytest.mark.parametrize("cell, says", [
    ("pass", "was not written"),
    (WRITE_ALL + "\nopen(metrics, 'w').write('[1]')", "metrics.json is not a JSON object"),
    (WRITE_ALL + "\nimport os\nos.remove(model); os.symlink('/etc/passwd', model)", "it is a link"),
    (WRITE_ALL + "\nimport os\nos.remove(metrics); os.mkfifo(metrics)", "not a file with one name"),
    (WRITE_ALL + "\nimport os\nos.link(model, model + '2')", "not a file with one name"),
    (WRITE_ALL + "\nimport os, shutil\nfolder = os.path.dirname(model)\nos.rename(folder, folder + '2')\nos.symlink('/etc', folder)",
     "link"),
], ids=["nothing", "metrics", "symlink", "fifo", "hard link", "folder"])
def test_outputs_that_are_not_taken(bench: Bench, cell: str, says: str):
    run = bench.make(cell).start()
    result = run.wait()
    assert result["state"] == "FAILED" and says in result["reason"], result["reason"] + run.said()
    assert "model" not in result["artefacts"] or "link" not in says


def test_hanging(bench: Bench):
    """The deadline ends it; SIGTERM alone would not: the kernel ignores it."""
    run = bench.make("import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('hanging-' + 'now', flush=True)",
                     "while True: time.sleep(1)", deadline_ms=25000).start()
    result = run.wait()
    assert result["state"] == "FAILED" and "deadline of 25 s passed during the step notebook" in result["reason"]
    assert "hanging-now" in run.artefact("notebook") and "html" in result["artefacts"]


def test_memory_hungry(bench: Bench):
    run = bench.make("import resource\nresource.setrlimit(resource.RLIMIT_DATA, (-1, -1))\nhoard = []",
                     "while True: hoard.append(bytearray(8 << 20))", memory_bytes=400 * MIB).start()
    result = run.wait()
    assert result["state"] == "FAILED" and result["reason"].startswith("memory: the run used"), result["reason"]


def test_memory_of_many(bench: Bench):
    """No process is over the limit by itself."""
    run = bench.make("import multiprocessing, time\ndef take(_):\n    hoard = bytearray(100 << 20)\n    time.sleep(600)\n",
                     "multiprocessing.get_context('fork').Pool(8).map(take, range(8))", memory_bytes=500 * MIB).start()
    result = run.wait()
    assert result["state"] == "FAILED" and result["reason"].startswith("memory: the run used"), result["reason"]


@pytest.mark.parametrize("cell", [
    "while True: print('x' * 100000, flush=True)",
    "import os\nfor i in range(10**6): open(f'{os.path.dirname(model)}/{i}', 'wb').write(bytes(1 << 20))",
    "import os\nf = []\nfor i in range(400):\n    f.append(open(f'/tmp/{i}', 'wb', 0)); os.remove(f'/tmp/{i}'); f[-1].write(bytes(1 << 20))\nimport time; time.sleep(600)",
    "import os\nfd = os.memfd_create('x')\nfor i in range(60): os.write(fd, bytes(1 << 20))\nimport time; time.sleep(600)",
], ids=["stdout", "files", "deleted files", "memfd"])
def test_output_flooding(bench: Bench, cell: str):
    run = bench.make(cell, output_bytes=50 * MIB).start()
    result = run.wait()
    assert result["state"] == "FAILED" and "output: the run wrote more than its limit of 50 MiB" in result["reason"], result["reason"]


SEEK = """
import glob, json, os, socket, subprocess, signal
found = {"environment": dict(os.environ), "processes": [], "read": {}, "connect": None, "kill": []}
for folder in glob.glob("/proc/[0-9]*"):
    for name in ("environ", "cmdline"):
        try: found["processes"].append(open(f"{folder}/{name}", "rb").read().decode(errors="replace"))
        except OSError: pass
for path in %r + glob.glob("/root/*") + glob.glob("/proc/1/fd/*") + glob.glob("/proc/1/root/*") + ["/etc/shadow"]:
    try: found["read"][path] = (open(path, errors="replace").read(4000) if not os.path.isdir(path) else str(os.listdir(path)))
    except OSError as error: pass
try: socket.create_connection(("127.0.0.1", %d), 3); found["connect"] = "connected"
except OSError as error: found["connect"] = str(error)
for pid in (1, %d):
    try: os.kill(pid, signal.SIGKILL); found["kill"].append(pid)
    except OSError: pass
found["unshare"] = subprocess.run(["unshare", "-Ur", "true"], capture_output=True).returncode
found["uid"] = os.getuid()
try: open("/usr/nodag-was-here", "w"); found["written"] = True
except OSError: found["written"] = False
open(metrics, "w").write(json.dumps(found))
for path in (model, predictions): open(path, "w").write("x")
"""


def test_credential_seeking(bench: Bench):
    import os
    import socket
    listener = socket.create_server(("127.0.0.1", 0))
    secret = bench.folder / "keys.yaml"
    secret.write_text(f"secret_access_key: {SECRET}\n", encoding="utf-8")
    paths = [str(secret), str(bench.folder), str(bench.folder / "run-1" / "run.json"), str(bench.folder / "run-1"), str(bench.folder / "run-1" / "log")]
    run = bench.make(SEEK % (paths, listener.getsockname()[1], os.getpid()),
                     artefacts={"url": f"file://{bench.store}", "credentials_file": str(secret)})
    result = run.start(env=dict(os.environ, AWS_SECRET_ACCESS_KEY=SECRET)).wait()
    assert result["state"] == "SUCCEEDED", result["reason"] + run.said()
    found = result["metrics"]
    assert SECRET not in json.dumps(found)
    assert found["read"].keys() <= {path for path in found["read"] if path.startswith("/proc/1/root")} and not found["read"]
    assert "refused" in found["connect"]
    assert found["kill"] in ([], [1])  # the sandbox' own process 1 ignores it
    assert found["unshare"] != 0 and not found["written"]
    assert found["uid"] != 0
    listener.close()


def test_network_where_the_document_says_so(bench: Bench):
    import socket
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    run = bench.make(f"import socket\nsocket.create_connection(('127.0.0.1', {port}), 10)", WRITE_ALL, network=True).start()
    result = run.wait()
    listener.close()
    assert result["state"] == "SUCCEEDED", result["reason"]


def test_daemonised_process(bench: Bench):
    """What leaves its session and group ends with the run."""
    word = f"left-behind-{bench.folder.name}"
    daemon = f"import os, subprocess\nsubprocess.Popen(['sh', '-c', 'sleep 3000; : {word}'], start_new_session=True, env={{'X': '{word}'}})"
    run = bench.make(daemon, "open('/tmp/seen', 'w')", WRITE_ALL).start()
    assert run.wait()["state"] == "SUCCEEDED"
    assert processes_with(word) == []


@pytest.fixture
def deaf_store():
    """An S3 endpoint that takes connections and never answers: whoever uploads, uploads for ever."""
    import socket
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize("step", ["fetch", "checkout", "dataset", "python", "environment", "notebook", "report", "upload", "clean"])
def test_supervisor_killed(bench: Bench, deaf_store: str, step: str):
    """SIGKILL in each step: seen as GONE, and nothing of the run lives on."""
    word = f"run-of-{bench.folder.name}"
    keys = bench.folder / "keys.yaml"
    keys.write_text(f"access_key_id: me\nsecret_access_key: {SECRET}\n", encoding="utf-8")
    spec = {"artefacts": {"url": "s3://bucket", "endpoint": deaf_store, "credentials_file": str(keys)}} if step == "upload" else {}
    run = bench.make(f"import subprocess\nsubprocess.Popen(['sleep', '3000'], start_new_session=True, env={{'X': '{word}'}})\n"
                     "print('marked-' + 'now', flush=True)", "import time\nif %r == 'notebook': time.sleep(600)" % step, WRITE_ALL, **spec).start()
    wait_until(lambda: run.step() == step or run.process.poll() is not None or
               (step in ("checkout", "dataset", "python", "environment", "fetch", "clean") and run.step() not in ("", step)), END_S, step)
    if step == "notebook":
        run.wait_log("marked-now")
        assert processes_with(word)
    run.kill()
    finished = (run.folder / "result.json").exists()
    assert run.observe() == ("FINISHED" if finished else "GONE")
    wait_until(lambda: not processes_with(word) and not processes_with(str(run.folder)), 20, "all processes to be gone")


def test_supervisor_killed_while_an_environment_is_built(bench: Bench):
    """What it left is swept away by the next run, which builds it; the folders of the cache are made."""
    run = bench.make(WRITE_ALL)
    run.cache = bench.folder / "new" / "cache"
    run.start()
    wait_until(lambda: list(run.cache.glob("*.building/bin/pip*")) or run.process.poll() is not None, END_S, "pip to be there")
    run.kill()
    assert run.observe() == "GONE"
    wait_until(lambda: not processes_with("/run/venv"), 20, "all processes to be gone")
    assert list(run.cache.glob("*.building")) and not [path for path in run.cache.iterdir() if "." not in path.name]
    again = bench.make(WRITE_ALL)
    again.cache = run.cache
    assert again.start().wait()["state"] == "SUCCEEDED"
    assert not list(run.cache.glob("*.building"))


def test_two_supervisors(bench: Bench):
    run = bench.make("import time; time.sleep(600)").start()
    run.wait_step("notebook")
    second = type(run)(bench, run.folder).start()
    assert second.process.wait(60) == 4
    assert "another supervisor has this run" in run.said() and run.observe() == "RUNNING"
    run.process.send_signal(signal.SIGTERM)
    assert run.wait()["state"] == "CANCELLED"
    assert type(run)(bench, run.folder).start().process.wait(60) == 4  # nor after it


@pytest.mark.parametrize("by", ["file", "signal"])
def test_cancel(bench: Bench, by: str):
    run = bench.make("print('begun-' + 'now', flush=True)", "import time; time.sleep(600)").start()
    run.wait_log("begun-now")
    assert run.observe() == "RUNNING"
    if by == "file":
        (run.folder / "cancel").write_text("a person suspended the model", encoding="utf-8")
    else:
        run.process.send_signal(signal.SIGTERM)
    result = run.wait()
    assert result["state"] == "CANCELLED"
    assert result["reason"] == ("a person suspended the model" if by == "file" else "the supervisor was told to stop (SIGTERM)")
    assert "begun-now" in run.artefact("notebook") and "html" in result["artefacts"]


def sandbox(program: Path, folder: Path, *command, shown: tuple = ()) -> list[str]:
    """The command line of a sandbox around a command, without a run."""
    for name in ("root", "scratch/tmp", "scratch/shm"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "scratch" / "tmp").chmod(0o777)  # the run's user writes there
    settings = {"root": str(folder / "root"), "scratch": str(folder / "scratch"), "folder": "/", "uid": 62001, "gid": 62001,
                "network": False, "memory_bytes": 1 << 42, "file_bytes": 1 << 30,
                "shown": [{"from": str(path), "to": str(path), "writable": False} for path in shown]}
    return [str(program), "run-sandbox", json.dumps(settings), *map(str, command)]


@pytest.fixture
def open_folder():
    """A folder that another user can reach, which pytest's own are not; it is that user's if we are root."""
    import os
    import shutil
    import tempfile
    folder = Path(tempfile.mkdtemp(prefix="nodag-sandbox-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def test_sandbox_without_root(bin_dir: Path, open_folder: Path):
    """As an ordinary user: a user namespace, and what belongs to the same user is out of reach."""
    import os
    import shutil
    import subprocess
    if is_in_chroot():
        pytest.skip("the kernel makes no user namespace in a chroot: user_namespaces(7)")
    program = open_folder / "nodag-train-run"
    shutil.copy2(bin_dir / "nodag-train-run", program)
    secret = open_folder / "secret"
    secret.write_text(SECRET, encoding="utf-8")
    script = f"cat {secret} /..{secret}; ls /proc | grep -c '^[0-9]'; grep -c : /proc/net/dev; touch /usr/x; echo written > /tmp/file && cat /tmp/file"
    command = sandbox(program, open_folder, "sh", "-c", script)
    as_user = {}
    if os.geteuid() == 0:
        for path in [open_folder, *open_folder.rglob("*")]:
            os.chown(path, 65534, 65534)
        as_user = {"user": 65534, "group": 65534, "extra_groups": []}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env={"PATH": "/usr/bin:/bin"}, **as_user)
    assert done.returncode == 0, done.stderr
    assert SECRET not in done.stdout and "No such file" in done.stderr and "Read-only" in done.stderr
    processes, interfaces, said = done.stdout.split()
    assert int(processes) <= 5 and interfaces == "1" and said == "written"


CHROOT = """
set -e
cd "$1"
mkdir usr etc proc dev tmp programs work
for name in bin sbin lib lib32 lib64 libx32; do [ ! -L /$name ] || ln -s "$(readlink /$name)" $name; done
for name in usr etc dev; do mount --rbind /$name $name; done
mount -t proc proc proc
mount --bind "$2" programs
mkdir -p work/root work/scratch/tmp work/scratch/shm
chmod -R 777 work
shift 2
exec chroot . "$@"
"""


def test_sandbox_in_a_chroot(bin_dir: Path, open_folder: Path):
    """Where the root folder is no mount point the sandbox is the same: nothing of the chroot, nor of what is around it, is seen."""
    import os
    import subprocess
    if is_in_chroot() or os.geteuid() != 0:
        pytest.skip("needs root outside a chroot (in one, all the other tests show it)")
    (open_folder / "secret").write_text(SECRET, encoding="utf-8")
    root = open_folder / "system"
    root.mkdir()
    script = f"ls / /work {open_folder} / /.. /proc/1/root/work 2>&1; cat /../../../../{open_folder}/secret; id -u; touch /usr/x; echo written > /tmp/file && cat /tmp/file"
    inner = sandbox(Path("/programs/nodag-train-run"), Path("/work"), "sh", "-c", script)
    for index, word in enumerate(inner):
        inner[index] = word.replace(str(root), "")
    done = subprocess.run(["unshare", "-m", "sh", "-c", CHROOT, "sh", str(root), str(bin_dir), *inner], capture_output=True,
                          text=True, timeout=60, check=False, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "ASAN_OPTIONS": "detect_leaks=0"})
    assert done.returncode == 0 and "written" in done.stdout, done.stdout + done.stderr
    assert SECRET not in done.stdout and "62001" in done.stdout and "Read-only" in done.stderr
    assert "programs" not in done.stdout and "system" not in done.stdout, done.stdout


def test_sandbox_that_cannot_be_made(bin_dir: Path, tmp_path: Path):
    """Where the kernel refuses namespaces (here: within a sandbox) nothing runs, and the reason says what to do."""
    import subprocess
    inner = sandbox(bin_dir / "nodag-train-run", tmp_path / "inner", "echo", "it ran")
    outer = sandbox(bin_dir / "nodag-train-run", tmp_path / "outer", "sh", "-c", 'ulimit -S -d unlimited; exec "$@"', "sh", *inner,
                    shown=(bin_dir,))
    done = subprocess.run(outer, capture_output=True, text=True, timeout=60, check=False, env={"PATH": "/usr/bin:/bin"})
    assert done.returncode == 125 and "it ran" not in done.stdout
    assert "no namespaces (Operation not permitted)" in done.stderr and "CAP_SYS_ADMIN" in done.stderr


def test_check(bin_dir: Path, tmp_path: Path):
    """Says whether runs can be kept apart here, by trying; in a sandbox they cannot."""
    import os
    import subprocess
    program = bin_dir / "nodag-train-run"
    options = {"capture_output": True, "text": True, "timeout": 60, "check": False}
    done = subprocess.run([program, "--check"], env={**os.environ, "TMPDIR": str(tmp_path)}, **options)
    assert done.returncode == 0 and "can be kept apart" in done.stdout, done.stderr
    assert list(tmp_path.iterdir()) == []
    inner = sandbox(program, tmp_path / "outer", "sh", "-c", "ulimit -S -d unlimited; exec \"$0\" --check", program, shown=(bin_dir,))
    done = subprocess.run(inner, env={"PATH": "/usr/bin:/bin", "ASAN_OPTIONS": "detect_leaks=0"}, **options)
    assert done.returncode == 1 and "no sandbox can be made here" in done.stderr
    done = subprocess.run([program], **options)
    assert done.returncode == 2 and "RUN_DIR is missing" in done.stderr


def test_commit_not_there(bench: Bench):
    run = bench.make("pass", commit="0" * 40).start()
    result = run.wait()
    assert result["state"] == "FAILED" and "commit 000000000000" in result["reason"]


def test_dataset_command(bench: Bench):
    run = bench.make(WRITE_ALL, dataset={"argv": ["sh", "-c", "echo '{}' > $0", "{file}"]}).start()
    assert run.wait()["state"] == "SUCCEEDED"
    assert run.artefact("dataset") == "{}\n"
    failed = bench.make(WRITE_ALL, dataset={"argv": ["sh", "-c", "echo no data today >&2; exit 3"]}).start().wait()
    assert failed["state"] == "FAILED" and "no data today" in failed["reason"]


@pytest.mark.parametrize("line", ["./evil", "evil @ file:///run/notebook/repository/train/evil", "-e evil", "--index-url=http://127.0.0.1/",
                                  "${HOME}", "file:///run/notebook/repository/train/evil"])
def test_requirements_that_would_run_code(bench: Bench, line: str):
    """pip builds what a path or URL names, --only-binary or not: such lines never reach it."""
    bench.commit({"train/requirements.txt": f"# fine\nattrs==1.0 \\\n  --hash=sha256:00\n{line}\n", "train/evil/setup.py": "raise SystemExit('ran')"})
    result = bench.make("pass").start().wait()
    assert result["state"] == "FAILED" and "requirements.txt line 4" in result["reason"], result["reason"]


def test_requirements_with_another_hash(bench: Bench):
    bench.commit({"train/requirements.txt": f"attrs==26.1.0 --hash=sha256:{'0' * 64}\n"})
    run = bench.make("pass")
    run.cache = bench.folder / "cache"
    result = run.start().wait()
    assert result["state"] == "FAILED" and "could not be installed" in result["reason"], result["reason"]

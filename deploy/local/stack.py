#!/usr/bin/env python3
"""The local stack: Kafka, the sandbox forge, nodag's daemons, and the main job shown as it happens. `up` calls it.

    stack.py     options, the order of things, the end
     ├── scenario.py    the main job        ── people.py, history.py (issues), desired_state.py (documents in git),
     │                                         training.py (runs, versions), fallback.py, summary.py
     ├── watch.py       what happens later  ── topic_data.py (what is on the topics)
     ├── services.py    the programs        ── run_folder.py, kafka/kafka.py, lib/proc.py, sandbox_api.py
     ├── folder.py      the data folder
     └── screen.py      the terminal

Invariants: everything that was started is stopped, also after Ctrl-C and after a failure; a second run finds the data
of the first (`--fresh` starts over); the exit status says whether the main job worked.
"""
from __future__ import annotations

import argparse
import json
import signal
import sys
from datetime import datetime, timezone
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path[:0] = [str(HERE), str(HERE / "lib"), str(HERE / "kafka")]
import scenario  # noqa: E402
import screen  # noqa: E402
import watch  # noqa: E402
from folder import Folder, shown  # noqa: E402
from proc import Failed  # noqa: E402
from services import Services  # noqa: E402

HISTORY_MIN = 50  # issues: with fewer a model has nothing to learn from
HISTORY_MAX = 5000  # what the sandbox takes within some minutes
NEW_MAX = 100
INTERRUPTED = 130  # exit status after Ctrl-C before the main job was done, as of any program that a signal ended
OPEN = '{"do": "open", "as": "you", "repository": "%s", "title": "The notebook server crashes", "body": "…"}'

DESCRIPTION = """\
Runs nodag on this machine and shows its main job: labelled history flows through Kafka; a document in git asks for a
model, and a notebook trains it; people open new issues on a sandbox GitHub, its signed webhooks arrive, and labels and
comments appear on the issues; people put labels right, and the model is trained again."""

EXAMPLES = """\
examples:
  deploy/local/up                          run until Ctrl-C; a second run keeps the data
  deploy/local/up --fresh --once           start over, show the main job, stop; the exit status says whether it worked
  deploy/local/up --issues issues.csv      real issues as history instead of generated ones
  deploy/local/up --brokers kafka:9092     use a Kafka that runs already
  deploy/local/up --embedded               no Java: a broker in memory for a first look; nothing survives a stop
  deploy/local/up --github --specs documents/ --forge-app-id 1234 --forge-app-key-file key.pem \\
                  --webhook-secret-file secret --scope kubeflow

exit status: 0 it worked; 1 it did not, and the text says what and where to look; 2 the command line is not valid, or
packages are missing; 130 Ctrl-C before the main job was done
"""


def parse_options(arguments):
    parser = argparse.ArgumentParser(prog="up", description=DESCRIPTION, epilog=EXAMPLES,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--check-options", action="store_true", help=argparse.SUPPRESS)  # for `up`, before it builds
    add("--once", action="store_true", help="stop after the main job was shown")
    add("--fresh", action="store_true", help="remove the data of earlier runs first")
    add("--summary", metavar="FILE", type=Path, help="write what happened as JSON")
    add("--dir", metavar="DIR", type=Path, default=ROOT / ".local",
        help="where the data is kept (default: .local in the checkout)")
    add = parser.add_argument_group("history").add_argument
    add("--issues", metavar="FILE", type=Path, help="real issues: CSV with columns repo,created_at,label,title,body, "
        "or JSON lines with these names (default: a seeded generator)")
    add("--history", metavar="N", type=int, default=400, help="generated issues (default: %(default)s)")
    add("--seed", metavar="N", type=int, default=1, help="of the generator (default: %(default)s)")
    add("--new", metavar="N", type=int, default=6, help="new issues that people open (default: %(default)s)")
    add = parser.add_argument_group("Kafka").add_mutually_exclusive_group().add_argument
    add("--brokers", metavar="HOST:PORT,…", help="a Kafka that runs already")
    add("--embedded", action="store_true", help="librdkafka's mock broker instead of Kafka: no Java needed")
    add_github_options(parser.add_argument_group("the real GitHub").add_argument)
    options = parser.parse_args(arguments)
    options.history_min, options.history_max = HISTORY_MIN, HISTORY_MAX
    check_options(parser, options)
    return options


def add_github_options(add) -> None:
    add("--github", action="store_true", help="connect to GitHub instead of the sandbox, until Ctrl-C")
    add("--forge-url", metavar="URL", default="https://api.github.com",
        help="REST API (default: %(default)s; Enterprise: https://HOST/api/v3)")
    add("--forge-token-file", metavar="FILE", type=Path, help="a token of a machine account")
    add("--forge-app-id", metavar="ID", help="or: id of a GitHub App")
    add("--forge-app-key-file", metavar="FILE", type=Path, help="and its private key (PEM)")
    add("--webhook-secret-file", metavar="FILE", type=Path, help="the secret of the webhook")
    add("--scope", metavar="PATTERN", action="append", help="OWNER, OWNER/PATTERN or *: whose events the secret may "
        "sign (repeatable)")
    add("--specs", metavar="DIR", type=Path, help="folder with the Labeler documents, or one file")
    add("--listen", metavar="ADDRESS:PORT", default="127.0.0.1:8080",
        help="where webhooks arrive (default: %(default)s)")


def check_options(parser, options) -> None:
    if not 0 < options.new <= NEW_MAX:
        parser.error(f"--new {options.new}: must be 1 to {NEW_MAX}")
    if not HISTORY_MIN <= options.history <= HISTORY_MAX:
        parser.error(f"--history {options.history}: must be {HISTORY_MIN} to {HISTORY_MAX}")
    if options.summary and not options.summary.resolve().parent.is_dir():
        parser.error(f"--summary {options.summary}: no such folder")
    if options.issues and not options.issues.is_file():
        parser.error(f"--issues {options.issues}: no such file")
    if not options.github:
        return
    if bool(options.forge_token_file) == bool(options.forge_app_id and options.forge_app_key_file):
        parser.error("--github needs either --forge-token-file, or --forge-app-id with --forge-app-key-file")
    if not options.webhook_secret_file or not options.specs or not options.scope:
        parser.error("--github needs --webhook-secret-file, --scope and --specs too")
    for path in (options.forge_token_file, options.forge_app_key_file, options.webhook_secret_file):
        if path and not path.is_file():
            parser.error(f"{path}: no such file")
    if not options.specs.exists():
        parser.error(f"{options.specs}: no such folder or file")


def stop_on_signals() -> None:
    """SIGTERM and a terminal that is closed end the stack as Ctrl-C does."""
    def interrupt(number, frame):
        raise KeyboardInterrupt
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup
            signal.signal(number, interrupt)


def ignore_signals() -> None:
    """From here on the programs are being stopped, which takes a bounded time."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def show_where_to_look(services: Services) -> None:
    programs = services.program("nodag").parent
    screen.step("Look", f'export NODAG_BROKERS={services.brokers} PATH="{programs}:$PATH"   and then:')
    rows = [("nodag tail predictions --payload pretty", "decisions, with their reasons"),
            ("nodag tail github.events", "webhooks as they came"),
            ("nodag status", "what waits, and why")]
    if services.sandbox:
        rows.insert(0, (f"{services.sandbox.url}/", "issues, labels, comments"))
        rows += [("nodag specs", "desired state: documents in force"),
                 ("nodag runs, nodag models", "training runs and what they made; `show` and `diff` say more")]
    rows += [(f"http://127.0.0.1:{port}/metrics", f"metrics of nodag-{name}")
             for name, port in services.admin_ports.items()]
    rows.append((f"{shown(services.folder.logs)}/", "logs"))
    width = max(len(where) for where, what in rows)
    for where, what in rows:
        screen.detail(f"{where:<{width}}  {screen.dim(what)}")
    if services.sandbox:
        show_what_to_do(services)


def show_what_to_do(services: Services) -> None:
    """What people may do, for whoever wants to be one of them."""
    act = OPEN % min(services.folder.memory["repositories"])
    screen.detail(f"{screen.dim('open an issue yourself:')} curl -d '{act}' {services.sandbox.url}/_sandbox/act")
    clone = shown(services.folder.path / "desired-state")
    if "trainer" in services.admin_ports:
        screen.detail(f"{screen.dim('change the notebook, and it trains again:')} edit {clone}/notebooks/train.ipynb; "
                      f"git -C {clone} commit -am change && git -C {clone} push")
        screen.detail(screen.dim("change labels on the sandbox's pages, and it does so, too; name the new version in "
                                 f"{clone}/nodag/labeler.yaml to label with it"))


def run_github(options, services: Services) -> dict:
    """Connects to the real GitHub; there is no main job to show: that is other people's issues."""
    services.start_broker()
    services.create_topics()
    services.start_door_for_github()
    services.start_labeler_for_github()
    screen.step("GitHub", f"is {options.forge_url}. It must reach {services.door_url}:")
    screen.detail("by a tunnel or a reverse proxy with TLS. Set that as the webhook URL of the App or repository, with")
    screen.detail("the secret; content type application/json; events: Issues, Labels, Pushes")
    screen.detail("ingest-git, historian and trainer are not started here: they need repositories and rights of yours;")
    screen.detail("README.md says how")
    return {"ok": True}


def write_summary(path: Path | None, summary: dict) -> None:
    if path:
        path.write_text(json.dumps(summary, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def run(options, summary: dict, services: Services) -> None:
    """From the broker to the end of the main job, and on until Ctrl-C. Fills the summary."""
    summary |= run_github(options, services) if options.github else scenario.run(options, services)
    if not options.once:
        ready = datetime.now(timezone.utc)
        show_where_to_look(services)
        kept = "" if options.embedded else "; the data stays"
        screen.step("Running", f"until Ctrl-C, which stops everything{kept}")
        watch.watch(services, ready)


def main(arguments=None) -> int:
    options = parse_options(arguments)
    if options.check_options:
        return 0
    stop_on_signals()
    summary: dict = {"ok": False}
    services = None
    interrupted = False
    try:
        services = Services(options, ROOT, Folder(options))
        run(options, summary, services)
    except KeyboardInterrupt:
        screen.line()
        interrupted = True
    except Failed as failure:
        screen.error(str(failure))
        summary |= {"ok": False, "error": str(failure)}
    finally:
        ignore_signals()
        if services:
            summary["ok"] &= services.stop()
            if services.started:
                kept = "" if options.embedded else f"; data and logs are in {shown(services.folder.path)}/"
                screen.step("Stopped", f"after {screen.seconds():.0f} s{kept}")
        write_summary(options.summary, summary)
    return 0 if summary["ok"] else INTERRUPTED if interrupted else 1


if __name__ == "__main__":
    sys.exit(main())

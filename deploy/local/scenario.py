"""The main job on the sandbox, step by step, and what came of it.

Design: history is opened by people of the sandbox with dates of the past: its webhooks flow through the door into Kafka as any others, and
the labeler leaves them alone, because its document's `since` is later. The model is trained on the issues as the sandbox has them then.
New issues come from another seed of the same generator, or, with --issues, are the newest of the file, opened again without labels.

Invariant: what is reported as labelled was read back from the sandbox.
"""
from __future__ import annotations

import json
import time
import urllib.request
from datetime import datetime, timedelta, timezone

import history
import screen
from proc import Failed, wait_until
from services import Services

ORGANISATION = "acme"
REPOSITORY = "acme/rocket"
APP = "nodag"
BOT = "nodag[bot]"
BATCH = 25  # acts in one call to the sandbox
LABELLED_S = 60.0  # from the opening of an issue until its labels and comment must be there
HISTORY_S = 180.0  # until all history has passed the door
SECONDS_ISSUES_NEW_SEED = 1000003  # the new issues' seed is this far from the history's

DOCUMENT = """\
# What the labeler keeps true on this stack. Edit it: the labeler notices.
apiVersion: nodag.dev/v1
kind: Labeler
metadata: {{name: local}}
spec:
  repositories: ["{organisation}/*"]
  labels: {{include: {include}}}
  models: [{{file: {model}}}]
  since: {since}
  comment: edit
"""


def set_up_forge(services: Services, labels: list[str]) -> None:
    """Organisation, repository, App and its hook. Calling it again changes nothing."""
    sandbox = services.sandbox
    sandbox.post("/_sandbox/repos", {"full_name": REPOSITORY, "description": "A sandbox repository", "labels": labels})
    app = sandbox.post("/_sandbox/apps", {
        "slug": APP, "permissions": {"issues": "write", "contents": "read", "metadata": "read"}, "events": ["issues", "label", "push"],
        "webhook": {"url": services.door_url, "secret": services.secret_file("webhook").read_text(encoding="utf-8")}})
    if app.get("pem"):
        services.secret_file("app.pem", app["pem"])
    services.remember(app_id=app["id"])
    sandbox.post(f"/_sandbox/apps/{APP}/installations", {"account": ORGANISATION, "repositories": "all"})


def load_history(options) -> tuple[list[history.Issue], list[history.Issue]]:
    """(history, new issues)."""
    now = datetime.now(timezone.utc)
    if not options.issues:
        past = history.generate(options.history, options.seed, now - timedelta(hours=1))
        return past, history.generate(options.new, options.seed + SECONDS_ISSUES_NEW_SEED, now)
    issues = history.read_csv(options.issues)
    if len(issues) <= options.new + 50:
        raise Failed(f"--issues {options.issues}: {len(issues)} issues are too few to train on and open {options.new} new ones")
    return issues[:-options.new], issues[-options.new:]


def open_history(services: Services, issues: list[history.Issue]) -> None:
    """People open the issues of the past, with their labels; all webhooks reach the door."""
    acts = [{"do": "open", "as": issue.author, "repository": REPOSITORY, "title": issue.title[:250], "body": issue.body,
             "labels": issue.labels, "at": issue.created.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")} for issue in issues]
    for start in range(0, len(acts), BATCH):
        services.sandbox.act(*acts[start:start + BATCH])
        screen.progress(f"{min(start + BATCH, len(acts))} of {len(acts)} issues")
    services.sandbox.wait_for_deliveries(int(HISTORY_S))
    screen.progress_end()


def train(services: Services, labels: list[str]) -> dict:
    """Trains on the sandbox's labelled issues; returns the model's metrics."""
    data, model = services.directory / "history.csv", services.directory / "label.model"
    issues = services.sandbox.get(f"/_sandbox/issues/{REPOSITORY}?state=all")["issues"]
    rows = []
    for issue in issues:
        names = [label for label in issue["labels"] if label in labels]
        if names:
            whole = services.sandbox.issue(REPOSITORY, issue["number"])["issue"]
            created = datetime.fromisoformat(whole["created_at"].replace("Z", "+00:00"))
            rows.append(history.Issue(title=whole["title"], body=whole["body"] or "", author="", created=created, labels=names))
    history.write_csv(data, REPOSITORY, rows)
    services.command("model", "train", "--data", data, "--model", model, echo=True)
    return json.loads(services.command("model", "eval", "--model", model, "--data", data, "--json"))


def write_document(services: Services, labels: list[str]) -> None:
    if "since" not in services.memory:
        services.remember(since=datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"))
    text = DOCUMENT.format(organisation=ORGANISATION, include=json.dumps(labels), model=json.dumps(str(services.directory / "label.model")),
                           since=services.memory["since"])
    (services.directory / "labeler.yaml").write_text(text, encoding="utf-8")


def show_issue(services: Services, number: int) -> dict | None:
    """The issue if nodag is done with it: its labels, and whether nodag commented. None: not yet."""
    seen = services.sandbox.issue(REPOSITORY, number)
    own = [entry["label"]["name"] for entry in seen["timeline"]
           if entry["event"] == "labeled" and (entry.get("actor") or {}).get("login") == BOT]
    comments = [comment for comment in seen["comments"] if (comment.get("user") or {}).get("login") == BOT]
    return {"number": number, "labels": own, "comments": len(comments)} if own and comments else None


def open_new(services: Services, issues: list[history.Issue]) -> list[dict]:
    """People open issues one by one; nodag's labels and comment are awaited and shown."""
    results = []
    for issue in issues:
        opened = services.sandbox.act({"do": "open", "as": issue.author, "repository": REPOSITORY, "title": issue.title[:250],
                                       "body": issue.body})[0]["issue"]
        number, started = opened["number"], time.monotonic()
        screen.line(f"#{number} {screen.bold(issue.title[:90])}  {screen.dim('opened by ' + issue.author)}")
        result = None
        try:
            result = wait_until(lambda: show_issue(services, number), LABELLED_S / 4, "labels")
        except Failed:
            pass  # a model may find nothing above its thresholds; the decision's record says so
        seconds = time.monotonic() - started
        if result:
            labels = " ".join(screen.green(label) for label in result["labels"])
            screen.line(f"   → {labels}  {screen.dim(f'{seconds:.1f} s after it was opened, with a comment')}")
        else:
            screen.line(screen.dim("   → no label above its threshold"))
        results.append({"number": number, "people_would_say": issue.labels, "seconds": round(seconds, 2),
                        **(result or {"labels": [], "comments": 0})})
    return results


def metric(services: Services, daemon: str, name: str) -> float:
    """The sum of a metric's series at a daemon."""
    url = f"http://127.0.0.1:{services.admin_ports[daemon]}/metrics"
    with urllib.request.urlopen(url, timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return sum(float(text.rsplit(" ", 1)[1]) for text in lines if text.startswith((name + "{", name + " ")))


def decisions(services: Services) -> int:
    """How many decisions stand on the topic `predictions`."""
    output = services.command("tail", "predictions", "--brokers", services.brokers, "--from-beginning", "--json")
    return len({json.loads(text)["key"] for text in output.splitlines()})


def run(options, services: Services) -> dict:
    started = time.monotonic()
    past, new = load_history(options)
    labels = sorted({label for issue in past for label in issue.labels})
    services.start_broker()
    services.create_topics()
    services.start_sandbox()
    services.start_door(ORGANISATION)
    set_up_forge(services, [*labels, *(label for label in history.LABELS if label not in labels)])
    if services.memory.get("history_done"):
        screen.step("History is there from an earlier run")
    else:
        source = f"of {options.issues}" if options.issues else f"made by a generator with seed {options.seed}"
        screen.step(f"History: {len(past)} labelled issues {source}, opened on the sandbox; their webhooks flow into Kafka")
        open_history(services, past)
        services.remember(history_done=not options.embedded)
    screen.step("Training a model on the labelled issues")
    metrics = train(services, labels)
    write_document(services, labels)
    services.start_labeler("--document", services.directory / "labeler.yaml", "--forge-url", services.sandbox.url, "--forge-app-id",
                           services.memory["app_id"], "--forge-app-key-file", services.secret_file("app.pem"))
    screen.step(f"People open {len(new)} new issues")
    results = open_new(services, new)
    services.sandbox.wait_for_deliveries()
    stats = services.sandbox.get("/_sandbox/stats")
    labelled = [result for result in results if result["labels"]]
    summary = {
        "ok": bool(labelled) and all(result["comments"] == 1 for result in labelled),
        "broker": "embedded" if options.embedded else "given" if options.brokers else "Apache Kafka",
        "history": len(past), "history_source": str(options.issues) if options.issues else f"generator, seed {options.seed}",
        "deliveries": stats["deliveries"], "labels_created_by_nodag": stats["labels_created_implicitly"],
        "records": {"published": metric(services, "ingest-github", "nodag_ingest_github_published_total"), "decisions": decisions(services)},
        "issues_opened": len(results), "issues_labelled": len(labelled), "comments": sum(result["comments"] for result in results),
        "issues": results, "model": metrics, "seconds": round(time.monotonic() - started, 1),
    }
    screen.step(f"Done: {len(labelled)} of {len(results)} new issues labelled, each with one comment, in {summary['seconds']} s")
    if not summary["ok"]:
        raise Failed(f"the main job did not work: no new issue was labelled, or comments are missing; look at {services.logs}/labeler.log")
    return summary

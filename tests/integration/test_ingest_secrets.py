"""Secrets of a running door: choice by hook and target, rotation, reload by file and by SIGHUP, invalid sets."""
import json
import uuid

import pytest
from daemon import run_program
from proc import wait_until
from webhooks import Sender, issue_payload

RELOAD_S = 30

CONFIGURATION = """
secrets:
  - {id: hook, file: hook, hook_id: 5, organisations: [octo]}
  - {id: app, file: app, target_type: integration, target_id: 7, organisations: ["*"]}
  - {id: fallback, file: fallback, repositories: [octo/hel*]}
"""


@pytest.fixture
def folder(tmp_path):
    for name in ("hook", "app", "fallback", "new"):
        (tmp_path / name).write_text(f"{name}-secret\n", encoding="utf-8")
    (tmp_path / "secrets.yaml").write_text(CONFIGURATION, encoding="utf-8")
    return tmp_path


@pytest.fixture
def door(start_daemon, topics_created, folder):
    return start_daemon("nodag-ingest-github", "--listen", "127.0.0.1:0", "--brokers", topics_created.brokers,
                        "--secrets", folder / "secrets.yaml")


def ask(door, secret: str, hook="999", target_type="repository", target_id="1", body=None):
    """The status of one delivery."""
    return Sender(door.port).deliver("issues", f"{secret}-secret".encode(), body or issue_payload(1),
                                     x_github_hook_id=hook, x_github_hook_installation_target_type=target_type,
                                     x_github_hook_installation_target_id=target_id).status


def last_matched(door, secret: str) -> float:
    return door.metric(f'nodag_ingest_github_secret_last_matched_seconds{{secret="{secret}"}}')


def test_choice_of_the_secret(door, events):
    assert ask(door, "hook", hook="5") == 202
    assert ask(door, "fallback", hook="5") == 401  # a hook with a secret of its own takes no other
    assert ask(door, "app", target_type="integration", target_id="7") == 202
    assert ask(door, "app", target_type="integration", target_id="8") == 401
    assert ask(door, "fallback") == 202
    assert ask(door, "hook") == 401
    outside = json.dumps({"repository": {"id": 1, "full_name": "octo/other"}}).encode()
    assert ask(door, "fallback", body=outside) == 403
    assert ask(door, "hook", hook="5", body=outside) == 202
    assert ask(door, "app", target_type="integration", target_id="7", body=b'{"organization":{"login":"x"}}') == 202
    ids = sorted(record.attributes["ce_githubsecretid"] for record in events.read())
    assert ids == ["app", "app", "fallback", "hook", "hook"]
    assert last_matched(door, "hook") > 1.7e9


def test_rotation_without_restart(door, folder):
    """Both secrets are valid while both are configured; then the old one is not."""
    assert (ask(door, "hook", hook="5"), ask(door, "new", hook="5")) == (202, 401)
    both = CONFIGURATION + "  - {id: hook-new, file: new, hook_id: 5, organisations: [octo]}\n"
    (folder / "secrets.yaml").write_text(both, encoding="utf-8")
    wait_until(lambda: ask(door, "new", hook="5") == 202, RELOAD_S, "the new secret to be valid")
    assert ask(door, "hook", hook="5") == 202
    assert last_matched(door, "hook-new") >= last_matched(door, "app")
    only_new = both.replace("  - {id: hook, file: hook, hook_id: 5, organisations: [octo]}\n", "")
    (folder / "secrets.yaml").write_text(only_new, encoding="utf-8")
    wait_until(lambda: ask(door, "hook", hook="5") == 401, RELOAD_S, "the old secret to be invalid")
    assert ask(door, "new", hook="5") == 202


def test_a_changed_secret_file_is_read(door, folder):
    (folder / "next").write_text("changed-secret", encoding="utf-8")
    (folder / "next").rename(folder / "hook")
    wait_until(lambda: ask(door, "changed", hook="5") == 202, RELOAD_S, "the changed file to be read")
    assert ask(door, "hook", hook="5") == 401


def test_hang_up_reads_at_once(door, folder):
    reads = 'nodag_ingest_github_secrets_reads_total{result="valid"}'
    before = door.metric(reads)
    door.hang_up()
    wait_until(lambda: door.metric(reads) > before, RELOAD_S, "the secrets to be read")
    assert ask(door, "hook", hook="5") == 202


def test_an_invalid_set_changes_nothing(door, folder):
    (folder / "secrets.yaml").write_text(CONFIGURATION + "  - {id: hook, file: gone}\n", encoding="utf-8")
    wait_until(lambda: door.metric("nodag_ingest_github_secrets_valid") == 0, RELOAD_S, "the fault to be seen")
    assert ask(door, "hook", hook="5") == 202
    assert "secrets.yaml:6" in door.log_text() and "the secrets are invalid" in door.log_text()
    (folder / "secrets.yaml").write_text(CONFIGURATION.replace("file: hook,", "file: new,"), encoding="utf-8")
    wait_until(lambda: ask(door, "new", hook="5") == 202, RELOAD_S, "the repaired set to be in force")
    assert door.metric("nodag_ingest_github_secrets_valid") == 1


@pytest.mark.parametrize("arguments,says,status", [
    ([], "--secrets", 2),
    (["--secret-file", "{folder}/hook"], "--scope", 2),
    (["--secret-file", "{folder}/hook", "--scope", "octo//x"], "octo//x", 2),
    (["--secret-file", "{folder}/none", "--scope", "octo"], "none", 1),
    (["--secrets", "{folder}/none.yaml"], "none.yaml", 1),
    (["--secrets", "{folder}/bad.yaml"], "bad.yaml:1", 2),
    (["--secrets", "{folder}/secrets.yaml", "--scope", "octo"], "--scope", 2),
    (["--secrets", "{folder}/secrets.yaml", "--listen", "8080"], "--listen", 2),
    (["--secrets", "{folder}/secrets.yaml", "--path", "x"], "--path", 2),
], ids=lambda value: " ".join(value) if isinstance(value, list) else None)
def test_does_not_start_without_valid_settings(bin_dir, folder, arguments, says, status):
    (folder / "bad.yaml").write_text("secrets: [{id: a}]", encoding="utf-8")
    command = [bin_dir / "nodag-ingest-github", "--listen", "127.0.0.1:0", "--admin-address", "127.0.0.1:0",
               *(argument.format(folder=folder) for argument in arguments)]
    done = run_program(command, status)
    assert says in done.stdout + done.stderr


def test_delivery_ids_of_two_hooks_do_not_collide(door, events):
    delivery = str(uuid.uuid4())
    sender, body = Sender(door.port), issue_payload(1)
    for hook, secret in (("5", b"hook-secret"), ("6", b"fallback-secret")):
        assert sender.deliver("issues", secret, body, delivery=delivery, x_github_hook_id=hook).status == 202
    assert len(events.read()) == 2

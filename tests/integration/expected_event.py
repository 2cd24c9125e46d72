"""What a delivery must become, by the CloudEvents GitHub adapter document and the topics table: written once more.

This is the oracle for real payloads. It shares nothing with ingest/github/github_event.c: it walks parsed JSON, and is
written from the documents, attribute by attribute where the C table goes event by event.
"""
from __future__ import annotations

from datetime import datetime, timezone

BARE = {"deployment", "fork", "github_app_authorization", "gollum", "page_build", "public", "push",
        "repository_import", "status"}  # types without a suffix
SUBJECTS = {  # event → paths, the first that is there
    "check_run": "check_run.id", "check_suite": "check_suite.id", "commit_comment": "comment.id", "create": "ref",
    "delete": "ref", "deploy_key": "key.id", "deployment": "deployment.id",
    "deployment_status": "deployment_status.url",
    "fork": "forkee.url", "installation": "installation.id", "installation_repositories": "installation.id",
    "issue_comment": "comment.id", "issues": "issue.number", "label": "label.name",
    "marketplace_purchase": "marketplace_purchase.account.login", "member": "member.login",
    "membership": "member.login", "meta": "hook_id", "milestone": "milestone.number",
    "organization": "membership.user.login", "org_block": "blocked_user.login", "page_build": "build.url",
    "project_card": "project_card.id", "project_column": "project_column.id", "project": "project.id",
    "public": "repository.name", "pull_request": "number", "pull_request_review": "review.id",
    "pull_request_review_comment": "comment.id", "push": "ref", "release": "release.id",
    "repository": "repository.name",
    "repository_import": "repository.name", "repository_vulnerability_alert": "alert.id",
    "security_advisory": "security_advisory.ghsa_id", "status": "sha", "team": "team.id", "team_add": "team.id",
    "github_app_authorization": None, "gollum": None, "star": None, "watch": None,
    # Newer than the document.
    "branch_protection_rule": "rule.id", "code_scanning_alert": "alert.number", "dependabot_alert": "alert.number",
    "deployment_review": "workflow_run.id", "discussion": "discussion.number", "discussion_comment": "comment.id",
    "merge_group": "merge_group.head_ref", "package": "package.id", "ping": "hook_id",
    "projects_v2_item": "projects_v2_item.id", "pull_request_review_thread": "pull_request.number",
    "repository_dispatch": None, "sponsorship": None, "workflow_dispatch": "ref", "workflow_job": "workflow_job.id",
    "workflow_run": "workflow_run.id",
}
TIMES = {  # event → paths by the document (`time`), the first that is no null
    "check_run": ["check_run.completed_at", "check_run.started_at"], "check_suite": ["check_suite.updated_at"],
    "commit_comment": ["comment.updated_at"], "deploy_key": ["key.deleted_at", "key.created_at"],
    "deployment": ["deployment.updated_at"], "deployment_status": ["deployment_status.updated_at"],
    "fork": ["forkee.created_at"], "installation": ["installation.updated_at"],
    "installation_repositories": ["installation.updated_at"], "issue_comment": ["comment.updated_at"],
    "issues": ["issue.updated_at"], "marketplace_purchase": ["effective_date"], "meta": ["hook.updated_at"],
    "milestone": ["milestone.updated_at"], "page_build": ["pusher.updated_at", "build.updated_at"],
    "project_card": ["project_card.updated_at"], "project_column": ["project_column.updated_at"],
    "project": ["project.updated_at"], "public": ["repository.updated_at"],
    "pull_request": ["pull_request.updated_at"], "pull_request_review": ["review.submitted_at"],
    "pull_request_review_comment": ["pull_request.updated_at"], "repository": ["repository.updated_at"],
    "repository_import": ["repository.updated_at"], "security_advisory": ["security_advisory.updated_at"],
    "star": ["starred_at"], "status": ["updated_at"],
}
NUMBERED = {"issues": "issue", "issue_comment": "issue", "pull_request": "pull_request",
            "pull_request_review": "pull_request", "pull_request_review_comment": "pull_request",
            "pull_request_review_thread": "pull_request", "discussion": "discussion",
            "discussion_comment": "discussion"}


def walk(content, path: str):
    """The value at a dotted path, None where there is none."""
    for name in path.split("."):
        content = content.get(name) if isinstance(content, dict) else None
    return content


def expected_type(event: str, content: dict) -> str:
    name = {"issues": "issue", "installation_repositories": "installation_repository"}.get(event, event)
    if event in ("create", "delete"):
        suffix = [content["ref_type"]]
    elif event == "deployment_status":
        suffix = [content["deployment_status"]["state"]]
    elif event == "membership":
        suffix = [content["scope"], content["action"]]
    else:
        suffix = [content["action"]] if "action" in content and event not in BARE else []
    return ".".join(["com.github", name, *suffix])


def expected_source(event: str, content: dict) -> str:
    special = {
        "commit_comment": lambda: f"{content['comment']['url']}/{content['comment']['commit_id']}",
        "deployment_status": lambda: content["deployment"]["url"],
        "github_app_authorization": lambda: content["sender"]["url"],
        "installation": lambda: content["installation"]["account"]["url"],
        "installation_repositories": lambda: content["installation"]["account"]["url"],
        "issue_comment": lambda: content["issue"]["url"],
        "marketplace_purchase": lambda: content["sender"]["url"].rpartition("/")[0],
        "membership": lambda: walk(content, "team.url"),  # a team that was deleted has none
        "organization": lambda: content["organization"]["url"],
        "org_block": lambda: content["organization"]["url"],
        "public": lambda: content["repository"]["owner"]["url"],
        "pull_request_review": lambda: content["pull_request"]["url"],
        "pull_request_review_comment": lambda: content["pull_request"]["url"],
        "repository": lambda: content["repository"]["owner"]["url"],
        "repository_import": lambda: content["repository"]["owner"]["url"],
        "security_advisory": lambda: "github.com",
    }
    found = special[event]() if event in special else None
    return found or walk(content, "repository.url") or walk(content, "organization.url") or walk(content, "sender.url")


def expected_subject(event: str, content: dict) -> str | None:
    path = SUBJECTS[event]
    value = walk(content, path) if path else None
    return None if value is None else str(value)


def expected_key(event: str, content: dict) -> bytes:
    repository = walk(content, "repository.id")
    number = walk(content, NUMBERED[event] + ".number") if event in NUMBERED else None
    if repository and number:
        return f"{repository}#{number}".encode()
    owner = (repository or walk(content, "organization.id") or walk(content, "installation.account.id")
             or walk(content, "marketplace_purchase.account.id") or walk(content, "sender.id"))
    return str(owner or event).encode()


def read_time(value) -> datetime:
    """A time as payloads have it: RFC 3339, a date, or seconds since 1970."""
    if isinstance(value, int):
        return datetime.fromtimestamp(value, timezone.utc)
    return datetime.fromisoformat(value.replace("Z", "+00:00"))


def expected_time(event: str, content: dict) -> datetime | None:
    """The time where the document names the member; None where it says "current time" or names nothing."""
    for path in TIMES.get(event, []):
        value = walk(content, path)
        if value is not None:
            return read_time(value)
    return None

"""The REST API of repositories, issues, labels, comments, contents and hooks, as routes over acts.py.

Each function answers one route: (request, path parameters) → Reply, or raises ApiError, Missing (answered 404) or
ValueError (answered 422). Called under State.lock. Apps and accounts are in appapi.py.

What a viewer may not see does not exist (404); what moved redirects: 301 for reads, 307 for writes, to the address by
repository id, which survives the next renaming too.
"""

import base64

from http_types import ApiError, Reply, page
from state import Missing, full_name
from githttp import INLINE_MAX_BYTES, check_path
from shapes import Shapes


class Rest:
    """The routes over one forge (see forge.py for its members)."""

    def __init__(self, forge):
        self.state, self.acts, self.git, self.limits = forge.state, forge.acts, forge.git, forge.limits
        self.label_replacements = 0      # requests that replace or drop all labels at once

    def routes(self, table):
        repo, issue = "/repos/{owner}/{repo}", "/repos/{owner}/{repo}/issues/{number}"
        for method, template, function in (
                ("GET", repo, self.get_repo),
                ("GET", repo + "/labels", self.list_repo_labels), ("POST", repo + "/labels", self.create_label),
                ("GET", repo + "/labels/{name}", self.get_label), ("PATCH", repo + "/labels/{name}", self.edit_label),
                ("DELETE", repo + "/labels/{name}", self.delete_label),
                ("GET", repo + "/issues", self.list_issues), ("POST", repo + "/issues", self.open_issue),
                ("GET", repo + "/issues/comments", self.list_repo_comments),
                ("GET", repo + "/issues/events", self.list_repo_events),
                ("GET", repo + "/issues/comments/{comment}", self.get_comment),
                ("PATCH", repo + "/issues/comments/{comment}", self.edit_comment),
                ("DELETE", repo + "/issues/comments/{comment}", self.delete_comment),
                ("GET", issue, self.get_issue), ("PATCH", issue, self.edit_issue),
                ("GET", issue + "/labels", self.list_labels), ("POST", issue + "/labels", self.add_labels),
                ("PUT", issue + "/labels", self.set_labels), ("DELETE", issue + "/labels", self.drop_labels),
                ("DELETE", issue + "/labels/{name}", self.remove_label),
                ("PUT", issue + "/lock", self.lock), ("DELETE", issue + "/lock", self.unlock),
                ("GET", issue + "/timeline", self.list_timeline), ("GET", issue + "/events", self.list_events),
                ("GET", issue + "/comments", self.list_comments), ("POST", issue + "/comments", self.add_comment),
                ("GET", repo + "/contents", self.get_contents), ("GET", repo + "/contents/{path*}", self.get_contents),
                ("PUT", repo + "/contents/{path*}", self.put_contents)):
            table.add(method, template, function)

    # ---- finding what the path names ----

    @staticmethod
    def shapes(state, request):
        return Shapes(state, request.base)

    def repo(self, request, owner, name, permission="metadata", level="read"):
        """The repository of the path, when the viewer may; ApiError 301, 307, 401, 403, 404 otherwise."""
        found, moved = self.state.repo_named(owner, name)
        if request.viewer.kind == "app":
            raise ApiError(401, "Bad credentials")
        if not found or not request.viewer.sees(found):
            raise ApiError(404, "Not Found")
        if moved:
            raise redirect(request, f"/repositories/{found['id']}", "/".join(request.path.split("/")[4:]))
        request.viewer.demand(found, permission, level)
        if level == "write":
            if found["archived"]:
                raise ApiError(403, "Repository was archived so is read-only.")
            self.limits.content(request.viewer)
        return found

    def issue(self, request, owner, repo, number, level="read"):
        """(repository, issue) of the path, likewise; 410 when it was deleted."""
        found = self.repo(request, owner, repo, "issues", level)
        if not found["has_issues"]:
            raise ApiError(410, "Issues are disabled for this repo")
        issue = found["issues"].get(number)
        if issue is None:
            raise ApiError(404, "Not Found")
        if issue.get("gone") == "deleted":
            raise ApiError(410, "This issue was deleted")
        if issue.get("gone") == "transferred":
            target = self.state.repo(issue["to"][0])
            if not target or not request.viewer.sees(target):
                raise ApiError(404, "Not Found")
            raise redirect(request, f"/repositories/{target['id']}/issues/{issue['to'][1]}",
                           "/".join(request.path.split("/")[6:]))
        return found, issue

    # ---- repositories and their labels ----

    def get_repo(self, request, owner, repo):
        found = self.repo(request, owner, repo)
        return Reply(200, self.shapes(self.state, request).full_repo(found))

    def list_repo_labels(self, request, owner, repo):
        found = self.repo(request, owner, repo, "issues")
        shapes = self.shapes(self.state, request)
        return page(request, list(found["labels"].values()), lambda label: shapes.label(found, label))

    def get_label(self, request, owner, repo, name):
        found = self.repo(request, owner, repo, "issues")
        label = self.acts.find_label(found, name)
        return Reply(200, self.shapes(self.state, request).label(found, label))

    def create_label(self, request, owner, repo):
        found = self.repo(request, owner, repo, "issues", "write")
        body = request.json()
        name = body.get("name")
        if isinstance(name, str) and name.lower() in found["labels"]:
            raise ApiError(422, "Validation Failed", [{"resource": "Label", "code": "already_exists", "field": "name"}])
        label = self.acts.create_label(found, name, request.viewer.login, body.get("color"), body.get("description"))
        return Reply(201, self.shapes(self.state, request).label(found, label))

    def edit_label(self, request, owner, repo, name):
        found = self.repo(request, owner, repo, "issues", "write")
        label, body = self.acts.find_label(found, name), request.json()
        self.acts.edit_label(found, label, request.viewer.login, body.get("new_name"), body.get("color"),
                             body.get("description"))
        return Reply(200, self.shapes(self.state, request).label(found, label))

    def delete_label(self, request, owner, repo, name):
        found = self.repo(request, owner, repo, "issues", "write")
        self.acts.delete_label(found, self.acts.find_label(found, name), request.viewer.login)
        return Reply(204)

    # ---- issues ----

    def list_issues(self, request, owner, repo):
        found, query = self.repo(request, owner, repo, "issues"), request.query
        if not found["has_issues"]:
            raise ApiError(410, "Issues are disabled for this repo")
        issues = [i for i in found["issues"].values() if not i.get("gone")]
        state = query.get("state", "open")
        if state != "all":
            issues = [i for i in issues if i["state"] == state]
        if query.get("since"):
            issues = [i for i in issues if i["updated_at"] >= query["since"]]
        if query.get("creator"):
            issues = [i for i in issues if i["user"].lower() == query["creator"].lower()]
        for name in filter(None, query.get("labels", "").split(",")):
            wanted = found["labels"].get(name.lower(), {"id": 0})["id"]
            issues = [i for i in issues if wanted in i["labels"]]
        order = {"updated": lambda i: (i["updated_at"], i["number"]), "comments": lambda i: len(i["comments"])}
        issues.sort(key=order.get(query.get("sort"), lambda i: (i["created_at"], i["number"])),
                    reverse=query.get("direction") != "asc")
        shapes = self.shapes(self.state, request)
        return page(request, issues, lambda issue: shapes.issue(found, issue))

    def get_issue(self, request, owner, repo, number):
        found, issue = self.issue(request, owner, repo, number)
        return Reply(200, self.shapes(self.state, request).issue_with_closer(found, issue))

    def open_issue(self, request, owner, repo):
        found = self.repo(request, owner, repo, "issues", "write")
        body = request.json()
        issue = self.acts.open_issue(found, request.viewer.login, body.get("title"), body.get("body"),
                                     label_names(body.get("labels") or []), implicit=True)
        shape = self.shapes(self.state, request).issue_with_closer(found, issue)
        return Reply(201, shape, {"Location": shape["url"]})

    def edit_issue(self, request, owner, repo, number):
        found, issue = self.issue(request, owner, repo, number, "write")
        body, actor = request.json(), request.viewer.login
        self.acts.edit_issue(found, issue, actor, body.get("title"), body.get("body"))
        if body.get("state") == "closed":
            self.acts.close_issue(found, issue, actor, body.get("state_reason"))
        elif body.get("state") == "open":
            self.acts.reopen_issue(found, issue, actor)
        if "labels" in body:
            self.label_replacements += 1
            self.acts.set_labels(found, issue, actor, label_names(body["labels"]))
        return Reply(200, self.shapes(self.state, request).issue_with_closer(found, issue))

    def lock(self, request, owner, repo, number):
        found, issue = self.issue(request, owner, repo, number, "write")
        reason = request.json((dict, type(None))) or {}
        self.acts.lock_issue(found, issue, request.viewer.login, reason.get("lock_reason"))
        return Reply(204)

    def unlock(self, request, owner, repo, number):
        found, issue = self.issue(request, owner, repo, number, "write")
        self.acts.unlock_issue(found, issue, request.viewer.login)
        return Reply(204)

    # ---- labels of an issue ----

    def _labels_reply(self, request, found, issue):
        return Reply(200, self.shapes(self.state, request).labels_of(found, issue))

    def list_labels(self, request, owner, repo, number):
        found, issue = self.issue(request, owner, repo, number)
        return page(request, self.shapes(self.state, request).labels_of(found, issue))

    def add_labels(self, request, owner, repo, number):
        """As on GitHub, a label that the repository lacks is created; `implicit_labels` counts it."""
        found, issue = self.issue(request, owner, repo, number, "write")
        self.acts.add_labels(found, issue, request.viewer.login, labels_of_body(request), implicit=True)
        return self._labels_reply(request, found, issue)

    def set_labels(self, request, owner, repo, number):
        found, issue = self.issue(request, owner, repo, number, "write")
        self.label_replacements += 1
        self.acts.set_labels(found, issue, request.viewer.login, labels_of_body(request))
        return self._labels_reply(request, found, issue)

    def drop_labels(self, request, owner, repo, number):
        found, issue = self.issue(request, owner, repo, number, "write")
        self.label_replacements += 1
        self.acts.set_labels(found, issue, request.viewer.login, [])
        return Reply(204)

    def remove_label(self, request, owner, repo, number, name):
        found, issue = self.issue(request, owner, repo, number, "write")
        try:
            self.acts.remove_label(found, issue, request.viewer.login, name)
        except Missing as error:
            raise ApiError(404, "Label does not exist") from error
        return self._labels_reply(request, found, issue)

    # ---- timeline, events, comments ----

    def list_timeline(self, request, owner, repo, number):
        found, issue = self.issue(request, owner, repo, number)
        shapes = self.shapes(self.state, request)
        return page(request, issue["events"], lambda event: shapes.event(found, issue, event))

    def list_events(self, request, owner, repo, number):
        found, issue = self.issue(request, owner, repo, number)
        shapes = self.shapes(self.state, request)
        events = [e for e in issue["events"] if e["event"] != "commented"]
        return page(request, events, lambda event: shapes.event(found, issue, event, in_timeline=False))

    def list_repo_events(self, request, owner, repo):
        found = self.repo(request, owner, repo, "issues")
        shapes = self.shapes(self.state, request)
        pairs = [(issue, event) for issue in found["issues"].values() for event in issue.get("events", ())
                 if event["event"] != "commented"]
        pairs.sort(key=lambda pair: pair[1]["id"], reverse=True)
        return page(request, pairs, lambda pair: {**shapes.event(found, *pair, in_timeline=False),
                                                  "issue": shapes.issue(found, pair[0])})

    def list_comments(self, request, owner, repo, number):
        found, issue = self.issue(request, owner, repo, number)
        shapes, since = self.shapes(self.state, request), request.query.get("since", "")
        comments = [c for c in issue["comments"] if c["updated_at"] >= since]
        return page(request, comments, lambda comment: shapes.comment(found, issue, comment))

    def list_repo_comments(self, request, owner, repo):
        found, query = self.repo(request, owner, repo, "issues"), request.query
        shapes, since = self.shapes(self.state, request), query.get("since", "")
        pairs = [(issue, c) for issue in found["issues"].values() for c in issue.get("comments", ())
                 if c["updated_at"] >= since]
        by = "updated_at" if query.get("sort") == "updated" else "created_at"
        pairs.sort(key=lambda pair: (pair[1][by], pair[1]["id"]),
                   reverse="sort" in query and query.get("direction") != "asc")
        return page(request, pairs, lambda pair: shapes.comment(found, *pair))

    def add_comment(self, request, owner, repo, number):
        found, issue = self.issue(request, owner, repo, number, "write")
        if issue["locked"] and not request.viewer.belongs(found):
            raise ApiError(403, "Unable to create comment because issue is locked.")
        comment = self.acts.add_comment(found, issue, request.viewer.login, request.json().get("body"))
        shape = self.shapes(self.state, request).comment(found, issue, comment)
        return Reply(201, shape, {"Location": shape["url"]})

    def _comment(self, request, owner, repo, comment, level="read"):
        found = self.repo(request, owner, repo, "issues", level)
        triple = self.state.comment(int(comment)) if comment.isdigit() else None
        if not triple or triple[0] is not found:
            raise ApiError(404, "Not Found")
        return triple

    def get_comment(self, request, owner, repo, comment):
        return Reply(200, self.shapes(self.state, request).comment(*self._comment(request, owner, repo, comment)))

    def edit_comment(self, request, owner, repo, comment):
        triple = self._comment(request, owner, repo, comment, "write")
        self.acts.edit_comment(*triple, request.viewer.login, request.json().get("body"))
        return Reply(200, self.shapes(self.state, request).comment(*triple))

    def delete_comment(self, request, owner, repo, comment):
        triple = self._comment(request, owner, repo, comment, "write")
        self.acts.delete_comment(*triple, request.viewer.login)
        return Reply(204)

    # ---- contents ----

    def get_contents(self, request, owner, repo, path=""):
        found, path = self.repo(request, owner, repo, "contents"), path.strip("/")
        ref = request.query.get("ref")
        commit = self.git.resolve(found, ref)
        if commit is None:
            raise ApiError(404, f"No commit found for the ref {ref}" if ref else "This repository is empty.")
        ref = ref or found["default_branch"]
        here = self.git.entries(found, commit, path) if path else []
        if not path or (here and here[0][1] == "tree"):
            entries = self.git.entries(found, commit, path, inside=True)
            return Reply(200, [self._entry(request, found, ref, entry) for entry in entries])
        if not here:
            raise ApiError(404, "Not Found")
        shape, raw = self._entry(request, found, ref, here[0]), self.git.blob(found, here[0][2])
        if "raw" in request.headers.get("Accept", ""):
            return Reply(200, raw, content_type="application/vnd.github.raw+json; charset=utf-8")
        inline = len(raw) <= INLINE_MAX_BYTES
        return Reply(200, {**shape, "content": in_lines(raw) if inline else "",
                           "encoding": "base64" if inline else "none"})

    def _entry(self, request, found, ref, entry):
        """One file or folder as the contents API lists it."""
        mode, kind, sha, size, path = entry
        kind = {"tree": "dir", "commit": "submodule"}.get(kind, "symlink" if mode == "120000" else "file")
        api = f"{request.base}/repos/{full_name(found)}"
        url, html = f"{api}/contents/{path}?ref={ref}", f"{request.base}/{full_name(found)}"
        git_url = f"{api}/git/{'trees' if kind == 'dir' else 'blobs'}/{sha}"
        html_url = f"{html}/{'tree' if kind == 'dir' else 'blob'}/{ref}/{path}"
        return {"name": path.rpartition("/")[2], "path": path, "sha": sha, "size": size, "url": url,
                "html_url": html_url, "git_url": git_url, "type": kind,
                "download_url": None if kind == "dir" else f"{html}/raw/{ref}/{path}",
                "_links": {"self": url, "git": git_url, "html": html_url}}

    def put_contents(self, request, owner, repo, path):
        """Creates or changes one file; an existing one needs its `sha`, 409 when that is another."""
        found, body = self.repo(request, owner, repo, "contents", "write"), request.json()
        check_path(path)
        commit = self.git.resolve(found, body.get("branch"))
        here = self.git.entries(found, commit, path) if commit else []
        if here and body.get("sha") != here[0][2]:
            raise ApiError(409 if body.get("sha") else 422, f"{path} does not match {body['sha']}" if body.get("sha")
                           else "Invalid request.\n\n\"sha\" wasn't supplied.")
        raw = base64.b64decode(body.get("content", ""))
        sha = self.acts.commit(found, {path: raw}, body.get("message") or f"Update {path}", request.viewer.login,
                               body.get("branch"))
        entry = self.git.entries(found, sha, path)[0]
        ref = body.get("branch") or found["default_branch"]
        html = f"{request.base}/{full_name(found)}/commit/{sha}"
        return Reply(200 if here else 201, {"content": self._entry(request, found, ref, entry),
                                            "commit": {"sha": sha, "html_url": html, "message": body.get("message")}})


def redirect(request, target, tail):
    """The answer for what has moved."""
    query = f"?{request.query_string}" if request.query_string else ""
    url = request.base + target + (f"/{tail}" if tail else "") + query
    if request.method in ("GET", "HEAD"):
        return ApiError(301, "Moved Permanently", headers={"Location": url}, url=url)
    return ApiError(307, "Temporary Redirect", headers={"Location": url}, url=url)


def labels_of_body(request):
    """Names out of `{"labels": [...]}` or `[...]`, each a text or `{"name": text}`."""
    body = request.json((dict, list))
    if isinstance(body, dict) and "labels" not in body:
        raise ValueError('the body must be {"labels": [...]}')
    return label_names(body["labels"] if isinstance(body, dict) else body)


def label_names(labels):
    """The names of a list of labels as texts or objects; ValueError when it is none."""
    if not isinstance(labels, list):
        raise ValueError("labels must be a list")
    names = [label.get("name") if isinstance(label, dict) else label for label in labels]
    if not all(isinstance(name, str) and name.strip() for name in names):
        raise ValueError("a label must be a text that is not blank, or an object with such a name")
    return names


def in_lines(raw):
    """base64 as GitHub writes it: lines of 60."""
    text = base64.b64encode(raw).decode()
    return "".join(text[i:i + 60] + "\n" for i in range(0, len(text), 60))

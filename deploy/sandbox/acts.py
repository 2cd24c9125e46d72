"""Everything that can happen in the forge: each act changes the state, writes the timeline and tells the webhooks.

REST routes and the admin API come here alike, so that a label that a test puts on as a person and one that nodag puts
on over REST leave the same traces. Who may do what is not asked here (auth.py does); what is possible is: an act on
something that does not exist raises Missing, one that makes no sense raises ValueError.

`actor` is a login; `at` seconds since the epoch or None for now; `quiet` sends no webhook. Call under State.lock.
"""

from state import Missing, full_name, installation_has, iso
from webhooks import new_hook

DEFAULT_COLOUR = "ededed"    # what GitHub gives a label that is created by adding it to an issue
LABELS_MAX = 100             # on one issue
BODY_MAX = 65536             # characters of an issue's or comment's body
NAME_MAX = 50                # characters of a label's name


class Acts:
    """The acts over one state. `git` and `hooks` are told what happened."""

    def __init__(self, state, git, hooks):
        self.state = state
        self.git = git
        self.hooks = hooks
        self.quiet = False           # set around one act by the admin API; the lock is held, so it is nobody else's
        self.implicit_labels = 0     # labels that came to be by adding them over REST

    # ---- helpers ----

    def _time(self, at):
        return iso(self.state.now() if at is None else at)

    def _emit(self, *arguments, **members):
        self.state.touch()
        if not self.quiet:
            self.hooks.emit(*arguments, **members)

    def _tell_issue(self, action, actor, repo, issue, **more):
        """An `issues` event, or for a pull request a `pull_request` event."""
        if issue["pull_request"]:
            self._emit("pull_request", action, actor, repo, extra=lambda s: {
                "number": issue["number"], "pull_request": pull_request(s, repo, issue), **later(more, s)})
        else:
            self._emit("issues", action, actor, repo,
                       extra=lambda s: {"issue": s.issue(repo, issue), **later(more, s)})

    def _event(self, issue, name, actor, at, **members):
        event = {"id": self.state.new_id("event"), "event": name, "actor": actor, "created_at": self._time(at),
                 **members}
        issue["events"].append(event)
        issue["updated_at"] = max(issue["updated_at"], event["created_at"])
        return event

    # ---- accounts, repositories ----

    def create_repo(self, owner, name, actor, at=None, **members):
        """Makes a repository with an empty git repository. Returns its record."""
        self.state.ensure_account(owner, "Organization")
        now = self._time(at)
        repo = {"id": self.state.new_id("repo"), "owner": self.state.account(owner)["login"], "name": name,
                "private": False, "description": None, "default_branch": "main", "has_issues": True,
                "archived": False, "collaborators": [], "labels": {}, "issues": {}, "next_number": 1,
                "created_at": now, "updated_at": now, "pushed_at": now, **members}
        self.state.data["repos"][str(repo["id"])] = repo
        self.state.data["redirects"].pop(full_name(repo).lower(), None)
        self.git.create(repo)
        self._emit("repository", "created", actor, repo)
        return repo

    def move_repo(self, repo, owner, name, actor):
        """Renames or transfers; the old name redirects."""
        old_name, old_owner = repo["name"], repo["owner"]
        other, moved = self.state.repo_named(owner, name)
        if other and not moved and other is not repo:
            raise ValueError(f"{owner}/{name} exists already")
        self.state.data["redirects"][full_name(repo).lower()] = repo["id"]
        self.state.data["redirects"].pop(f"{owner}/{name}".lower(), None)
        self.state.ensure_account(owner, "Organization")
        repo["owner"], repo["name"], repo["updated_at"] = self.state.account(owner)["login"], name, self._time(None)
        if old_owner.lower() != owner.lower():
            self._emit("repository", "transferred", actor, repo, extra=lambda s: {
                "changes": {"owner": {"from": {"organization": s.organization(old_owner)}}}})
        if old_name != name:
            self._emit("repository", "renamed", actor, repo,
                       extra=lambda s: {"changes": {"repository": {"name": {"from": old_name}}}})

    def set_private(self, repo, private, actor):
        if repo["private"] != private:
            repo["private"] = private
            self._emit("repository", "privatized" if private else "publicized", actor, repo)

    def delete_repo(self, repo, actor):
        self._emit("repository", "deleted", actor, repo)
        del self.state.data["repos"][str(repo["id"])]
        for hook_id, hook in list(self.state.data["hooks"].items()):
            if hook["target"] == "repository" and hook["target_id"] == repo["id"]:
                del self.state.data["hooks"][hook_id]

    def commit(self, repo, files, message, actor, branch=None, at=None):
        """Commits files and tells it as a push. Returns the new commit's sha."""
        when = self.state.now() if at is None else at
        branch = branch or repo["default_branch"]
        old, new = self.git.commit(repo, files, message, actor, f"{actor}@users.noreply.invalid", when, branch)
        self.pushed(repo, actor, [(f"refs/heads/{branch}", old, new)])
        return new

    def pushed(self, repo, actor, moved):
        """Tells moved refs, each as one push."""
        repo["pushed_at"] = self._time(None)
        for ref, old, new in moved:
            details = self.git.push_details(repo, ref, old, new)

            def payload(shapes, details=details, old=old, new=new):
                html = f"{shapes.base}/{full_name(repo)}"
                for commit in [*details["commits"], details["head_commit"]]:
                    if commit:
                        commit["url"] = f"{html}/commit/{commit['id']}"
                return {**details, "compare": f"{html}/compare/{old[:12]}...{new[:12]}",
                        "pusher": {"name": actor, "email": f"{actor}@users.noreply.invalid"}}
            self._emit("push", None, actor, repo, extra=payload)

    # ---- labels of a repository ----

    def create_label(self, repo, name, actor, colour=None, description=None, implicit=False):
        """Returns the label. ValueError when it exists or its name is none."""
        if not isinstance(name, str) or not name.strip() or len(name) > NAME_MAX:
            raise ValueError(f"a label's name has 1 to {NAME_MAX} characters, not {name!r}")
        if name.lower() in repo["labels"]:
            raise ValueError(f"{full_name(repo)} has a label {name!r} already")
        label = {"id": self.state.new_id("label"), "name": name, "color": (colour or DEFAULT_COLOUR).lstrip("#"),
                 "description": description, "default": False}
        repo["labels"][name.lower()] = label
        self.implicit_labels += implicit
        self._emit("label", "created", actor, repo, extra=lambda s: {"label": s.label(repo, label)})
        return label

    def find_label(self, repo, name):
        """The label of that name; Missing otherwise."""
        if str(name).lower() not in repo["labels"]:
            raise Missing(f"{full_name(repo)} has no label {name!r}")
        return repo["labels"][str(name).lower()]

    def edit_label(self, repo, label, actor, new_name=None, colour=None, description=None):
        changes = {}
        if new_name is not None and new_name != label["name"]:
            other = repo["labels"].get(new_name.lower())
            if other and other is not label:
                raise ValueError(f"{full_name(repo)} has a label {new_name!r} already")
            changes["name"] = {"from": label["name"]}
            del repo["labels"][label["name"].lower()]
            label["name"] = new_name
            repo["labels"][new_name.lower()] = label
        if colour is not None and colour.lstrip("#") != label["color"]:
            changes["color"] = {"from": label["color"]}
            label["color"] = colour.lstrip("#")
        if description is not None and description != label["description"]:
            changes["description"] = {"from": label["description"]}
            label["description"] = description
        self._emit("label", "edited", actor, repo, extra=lambda s: {"label": s.label(repo, label), "changes": changes})

    def delete_label(self, repo, label, actor):
        """Deletes it in the repository, thus on every issue; the timelines do not speak of it, as on GitHub."""
        del repo["labels"][label["name"].lower()]
        for issue in repo["issues"].values():
            if label["id"] in issue.get("labels", ()):
                issue["labels"].remove(label["id"])
        self._emit("label", "deleted", actor, repo, extra=lambda s: {"label": s.label(repo, label)})

    # ---- issues ----

    def open_issue(self, repo, actor, title, body=None, labels=(), pull_request=False, at=None, implicit=False):
        """Opens an issue; its labels come as `labeled` events of the same moment, as on GitHub. Returns it."""
        if not isinstance(title, str) or not title.strip():
            raise ValueError("an issue needs a title")
        check_body(body)
        now = self._time(at)
        issue = {"id": self.state.new_id("issue"), "number": repo["next_number"], "title": title, "body": body,
                 "user": actor, "state": "open", "state_reason": None, "locked": False, "lock_reason": None,
                 "labels": [], "comments": [], "events": [], "pull_request": bool(pull_request),
                 "created_at": now, "updated_at": now, "closed_at": None, "closed_by": None}
        repo["next_number"] += 1
        repo["issues"][str(issue["number"])] = issue
        put = [self._put_label(repo, issue, name, actor, at, implicit) for name in labels]
        self._tell_issue("opened", actor, repo, issue)
        for label in filter(None, put):
            self._tell_issue("labeled", actor, repo, issue, label=lambda s, it=label: s.label(repo, it))
        return issue

    def edit_issue(self, repo, issue, actor, title=None, body=None, at=None):
        changes = {}
        if title is not None and title != issue["title"]:
            changes["title"] = {"from": issue["title"]}
            self._event(issue, "renamed", actor, at, rename={"from": issue["title"], "to": title})
            issue["title"] = title
        if body is not None and body != issue["body"]:
            check_body(body)
            changes["body"] = {"from": issue["body"] or ""}
            issue["body"], issue["updated_at"] = body, self._time(at)
        if changes:
            self._tell_issue("edited", actor, repo, issue, changes=changes)

    def _put_label(self, repo, issue, name, actor, at, implicit=False):
        """Puts one label on, creating it where the repository lacks it (`implicit`: as REST does, counted). Returns
        it, None when it was on already."""
        label = (repo["labels"].get(str(name).lower())
                 or self.create_label(repo, name, actor, implicit=implicit))
        if label["id"] in issue["labels"]:
            return None
        if len(issue["labels"]) >= LABELS_MAX:
            raise ValueError(f"an issue has at most {LABELS_MAX} labels")
        issue["labels"].append(label["id"])
        self._event(issue, "labeled", actor, at, label={"name": label["name"], "color": label["color"]})
        return label

    def add_labels(self, repo, issue, actor, names, at=None, implicit=False):
        """Puts labels on; each that was not there is one event and one delivery."""
        for name in names:
            label = self._put_label(repo, issue, name, actor, at, implicit)
            if label:
                self._tell_issue("labeled", actor, repo, issue, label=lambda s, it=label: s.label(repo, it))

    def remove_label(self, repo, issue, actor, name, at=None):
        """Takes one label off; Missing when it is not on the issue."""
        label = repo["labels"].get(str(name).lower())
        if not label or label["id"] not in issue["labels"]:
            raise Missing(f"{full_name(repo)}#{issue['number']} has no label {name!r}")
        issue["labels"].remove(label["id"])
        self._event(issue, "unlabeled", actor, at, label={"name": label["name"], "color": label["color"]})
        self._tell_issue("unlabeled", actor, repo, issue, label=lambda s: s.label(repo, label))

    def set_labels(self, repo, issue, actor, names):
        """Replaces all labels: what nodag must never do, and people's tools do."""
        wanted = {str(n).lower() for n in names}
        for label in [lb for lb in repo["labels"].values() if lb["id"] in issue["labels"]]:
            if label["name"].lower() not in wanted:
                self.remove_label(repo, issue, actor, label["name"])
        self.add_labels(repo, issue, actor, names, implicit=True)

    def close_issue(self, repo, issue, actor, reason=None, at=None):
        if issue["state"] != "closed":
            issue.update(state="closed", state_reason=reason or "completed", closed_at=self._time(at),
                         closed_by=actor)
            self._event(issue, "closed", actor, at, state_reason=issue["state_reason"])
            self._tell_issue("closed", actor, repo, issue)

    def reopen_issue(self, repo, issue, actor, at=None):
        if issue["state"] != "open":
            issue.update(state="open", state_reason="reopened", closed_at=None, closed_by=None)
            self._event(issue, "reopened", actor, at)
            self._tell_issue("reopened", actor, repo, issue)

    def lock_issue(self, repo, issue, actor, reason=None, at=None):
        if not issue["locked"]:
            issue.update(locked=True, lock_reason=reason)
            self._event(issue, "locked", actor, at, lock_reason=reason)
            self._tell_issue("locked", actor, repo, issue)

    def unlock_issue(self, repo, issue, actor, at=None):
        if issue["locked"]:
            issue.update(locked=False, lock_reason=None)
            self._event(issue, "unlocked", actor, at)
            self._tell_issue("unlocked", actor, repo, issue)

    def delete_issue(self, repo, issue, actor):
        """Deletes for good: the number answers 410 from then on."""
        self._forget_comments(issue)
        repo["issues"][str(issue["number"])] = {"number": issue["number"], "gone": "deleted"}
        self._tell_issue("deleted", actor, repo, issue)

    def _forget_comments(self, issue):
        for comment in issue["comments"]:
            self.state.data["comment_homes"].pop(str(comment["id"]), None)

    def transfer_issue(self, repo, issue, actor, target, at=None):
        """Moves an issue: labels that the target has by the same name go with it; the old number redirects."""
        if issue["pull_request"] or repo["owner"].lower() != target["owner"].lower() or repo is target:
            raise ValueError("only issues move, and only to another repository of the same owner")
        names = {label["id"]: name for name, label in repo["labels"].items()}
        kept = [names[i] for i in issue["labels"] if names.get(i) in target["labels"]]
        moved = {**issue, "id": self.state.new_id("issue"), "number": target["next_number"],
                 "labels": [target["labels"][name]["id"] for name in kept],
                 "events": list(issue["events"]), "comments": list(issue["comments"])}
        target["next_number"] += 1
        target["issues"][str(moved["number"])] = moved
        for comment in moved["comments"]:
            self.state.data["comment_homes"][str(comment["id"])] = [target["id"], moved["number"]]
        self._event(moved, "transferred", actor, at)
        repo["issues"][str(issue["number"])] = {"number": issue["number"], "gone": "transferred",
                                                "to": [target["id"], moved["number"]]}
        self._tell_issue("transferred", actor, repo, issue, changes=lambda s: {
            "new_issue": s.issue(target, moved), "new_repository": s.repo(target)})
        self._tell_issue("opened", actor, target, moved, changes=lambda s: {
            "old_issue": s.issue(repo, issue), "old_repository": s.repo(repo)})
        return moved

    # ---- comments ----

    def add_comment(self, repo, issue, actor, body, at=None):
        """Returns the comment."""
        check_body(body, required=True)
        now = self._time(at)
        comment = {"id": self.state.new_id("comment"), "user": actor, "body": body, "created_at": now,
                   "updated_at": now}
        issue["comments"].append(comment)
        self.state.data["comment_homes"][str(comment["id"])] = [repo["id"], issue["number"]]
        self._event(issue, "commented", actor, at, comment=comment["id"])
        self._tell_comment("created", actor, repo, issue, comment)
        return comment

    def edit_comment(self, repo, issue, comment, actor, body, at=None):
        check_body(body, required=True)
        old, comment["body"], comment["updated_at"] = comment["body"], body, self._time(at)
        issue["updated_at"] = max(issue["updated_at"], comment["updated_at"])
        if old != body:
            self._tell_comment("edited", actor, repo, issue, comment, changes={"body": {"from": old}})

    def delete_comment(self, repo, issue, comment, actor, at=None):
        issue["comments"].remove(comment)
        del self.state.data["comment_homes"][str(comment["id"])]
        issue["events"] = [e for e in issue["events"] if e.get("comment") != comment["id"]]
        self._event(issue, "comment_deleted", actor, at)
        self._tell_comment("deleted", actor, repo, issue, comment)

    def _tell_comment(self, action, actor, repo, issue, comment, **more):
        self._emit("issue_comment", action, actor, repo, extra=lambda s: {
            "issue": s.issue(repo, issue), "comment": s.comment(repo, issue, comment), **more})

    # ---- Apps ----

    def install(self, app, account, repositories, permissions, actor):
        """Installs the App for an account. Returns the installation."""
        now = self._time(None)
        made = {"id": self.state.new_id("installation"), "app_id": app["id"], "account": account["login"],
                "repositories": repositories, "permissions": permissions, "suspended_at": None,
                "created_at": now, "updated_at": now}
        self.state.data["installations"][str(made["id"])] = made
        self._tell_installation("created", actor, made)
        return made

    def uninstall(self, installation, actor):
        """Removes it and its tokens."""
        self._tell_installation("deleted", actor, installation)
        del self.state.data["installations"][str(installation["id"])]
        tokens = self.state.data["tokens"]
        for token in [t for t, about in tokens.items() if about.get("installation") == installation["id"]]:
            del tokens[token]

    def suspend(self, installation, suspended, actor):
        if bool(installation["suspended_at"]) != suspended:
            installation["suspended_at"] = self._time(None) if suspended else None
            self._tell_installation("suspend" if suspended else "unsuspend", actor, installation)

    def set_installed(self, installation, repositories, actor):
        """Changes which repositories the installation lists, and tells it."""
        before = self.installed(installation)
        installation["repositories"], installation["updated_at"] = repositories, self._time(None)
        after = self.installed(installation)
        added, removed = [r for r in after if r not in before], [r for r in before if r not in after]
        for action, some in (("added", added), ("removed", removed)):
            if some:
                self._emit("installation_repositories", action, actor, installation=installation,
                           extra=lambda s, some=some, action=action: {
                               "installation": s.installation(installation),
                               "repository_selection": "all" if repositories == "all" else "selected",
                               "repositories_added": [s.short_repo(r) for r in some if action == "added"],
                               "repositories_removed": [s.short_repo(r) for r in some if action == "removed"],
                               "requester": None})

    def installed(self, installation):
        """The repositories that the installation lists, in the order of their ids."""
        return [r for r in self.state.data["repos"].values() if installation_has(installation, r)]

    def _tell_installation(self, action, actor, installation):
        self._emit("installation", action, actor, installation=installation, extra=lambda s: {
            "installation": s.installation(installation),
            "repositories": [s.short_repo(r) for r in self.installed(installation)], "requester": None})

    def add_hook(self, target, target_id, actor, ping=True, **members):
        """Remembers a hook and pings it. Returns its record."""
        hook = new_hook(self.state, target, target_id, **members)
        if ping:
            self.hooks.ping(hook, actor)
        return hook


def later(more, shapes):
    """Payload members, those given as functions written now."""
    return {key: value(shapes) if callable(value) else value for key, value in more.items()}


def check_body(body, required=False):
    """ValueError when it is no body of an issue or comment."""
    if body is None and not required:
        return
    if not isinstance(body, str) or (required and not body.strip()):
        raise ValueError("Body can't be blank" if required else "body must be a text")
    if len(body) > BODY_MAX:
        raise ValueError(f"body is too long (maximum is {BODY_MAX} characters)")


def pull_request(shapes, repo, issue):
    """A pull request as payloads have it, as far as the sandbox has pull requests at all."""
    shape = {k: v for k, v in shapes.issue(repo, issue).items() if k not in ("pull_request", "repository_url")}
    shape.update({"merged": False, "mergeable": None, "merged_at": None,
                  "head": {"ref": f"pull-{issue['number']}", "sha": "0" * 40, "repo": shapes.repo(repo)},
                  "base": {"ref": repo["default_branch"], "sha": "0" * 40, "repo": shapes.repo(repo)}})
    return shape

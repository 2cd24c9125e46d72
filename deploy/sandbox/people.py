"""POST /_sandbox/act: people doing things in the forge, for tests and demonstrations. README.md lists the acts.

An act is a dict; `do` says which. Acts happen as REST would do them, only that nobody is asked for permission, a time
(`at`) may be given for history, and `quiet` keeps the webhooks silent.
"""

from http_types import ApiError
from shapes import Shapes
from state import Missing, parse_iso

PERSON = "octocat"           # who acts when nobody is named


class People:
    """The acts of one forge (see forge.py for its members)."""

    def __init__(self, forge):
        self.forge, self.state, self.acts = forge, forge.state, forge.acts
        self._issue_acts = {"edit": self._edit, "label": self._label, "unlabel": self._unlabel,
                            "comment": self._comment, "edit_comment": self._edit_comment,
                            "delete_comment": self._delete_comment, "close": self._close, "reopen": self._reopen,
                            "lock": self._lock, "unlock": self._unlock, "transfer": self._transfer,
                            "delete": self._delete}
        self._repo_acts = {"open": self._open, "create_label": self._create_label, "edit_label": self._edit_label,
                           "delete_label": self._delete_label}

    def act(self, request):
        """One act, or a list of acts answered by a list."""
        body = request.json((dict, list))
        if isinstance(body, dict):
            return self.one(body)
        done = []
        for number, act in enumerate(body):
            try:
                done.append(self.one(act))
            except (Missing, ValueError, KeyError, TypeError, ApiError) as error:
                raise ValueError(f"act {number} of {len(body)} failed, those before it are done: {error}") from error
        return done

    def one(self, act):
        """Does one act and answers what it left."""
        known = {**self._issue_acts, **self._repo_acts}
        name = act.get("do")
        if name not in known:
            raise ValueError(f"do must be one of {', '.join(known)}, not {name!r}")
        login = act.get("as", PERSON)
        actor = self.state.ensure_account(login, "Bot" if login.endswith("[bot]") else "User")[0]["login"]
        at = parse_iso(act["at"]) if act.get("at") else None
        repo = self.state.find_repo(act["repository"])
        self.acts.quiet = bool(act.get("quiet"))
        try:
            if name in self._repo_acts:
                return self._repo_acts[name](act, repo, actor, at)
            issue = self.state.find_issue(repo, act["issue"])
            return self._issue_acts[name](act, repo, issue, actor, at)
        finally:
            self.acts.quiet = False

    def _shown(self, repo, issue, **more):
        return {"issue": Shapes(self.state, self.forge.base).issue_with_closer(repo, issue), **more}

    @staticmethod
    def _names(act):
        names = act.get("labels", [act["label"]] if "label" in act else None)
        if not isinstance(names, list):
            raise ValueError('this act needs "label" or "labels"')
        return names

    # ---- acts on a repository ----

    def _open(self, act, repo, actor, at):
        issue = self.acts.open_issue(repo, actor, act.get("title"), act.get("body"), act.get("labels", ()),
                                     act.get("pull_request", False), at)
        return self._shown(repo, issue)

    def _create_label(self, act, repo, actor, at):
        del at
        label = self.acts.create_label(repo, act["label"], actor, act.get("color"), act.get("description"))
        return {"label": Shapes(self.state, self.forge.base).label(repo, label)}

    def _edit_label(self, act, repo, actor, at):
        del at
        label = self.acts.find_label(repo, act["label"])
        self.acts.edit_label(repo, label, actor, act.get("new_name"), act.get("color"), act.get("description"))
        return {"label": Shapes(self.state, self.forge.base).label(repo, label)}

    def _delete_label(self, act, repo, actor, at):
        del at
        self.acts.delete_label(repo, self.acts.find_label(repo, act["label"]), actor)
        return {"deleted": True}

    # ---- acts on an issue ----

    def _edit(self, act, repo, issue, actor, at):
        self.acts.edit_issue(repo, issue, actor, act.get("title"), act.get("body"), at)
        return self._shown(repo, issue)

    def _label(self, act, repo, issue, actor, at):
        self.acts.add_labels(repo, issue, actor, self._names(act), at)
        return self._shown(repo, issue)

    def _unlabel(self, act, repo, issue, actor, at):
        for name in self._names(act):
            self.acts.remove_label(repo, issue, actor, name, at)
        return self._shown(repo, issue)

    def _comment(self, act, repo, issue, actor, at):
        comment = self.acts.add_comment(repo, issue, actor, act.get("body"), at)
        return self._shown(repo, issue, comment=Shapes(self.state, self.forge.base).comment(repo, issue, comment))

    @staticmethod
    def _find_comment(act, issue):
        found = next((c for c in issue["comments"] if c["id"] == act["comment"]), None)
        if not found:
            raise Missing(f"no comment {act['comment']} on that issue")
        return found

    def _edit_comment(self, act, repo, issue, actor, at):
        comment = self._find_comment(act, issue)
        self.acts.edit_comment(repo, issue, comment, actor, act.get("body"), at)
        return self._shown(repo, issue, comment=Shapes(self.state, self.forge.base).comment(repo, issue, comment))

    def _delete_comment(self, act, repo, issue, actor, at):
        self.acts.delete_comment(repo, issue, self._find_comment(act, issue), actor, at)
        return self._shown(repo, issue)

    def _close(self, act, repo, issue, actor, at):
        self.acts.close_issue(repo, issue, actor, act.get("state_reason"), at)
        return self._shown(repo, issue)

    def _reopen(self, act, repo, issue, actor, at):
        del act
        self.acts.reopen_issue(repo, issue, actor, at)
        return self._shown(repo, issue)

    def _lock(self, act, repo, issue, actor, at):
        self.acts.lock_issue(repo, issue, actor, act.get("reason"), at)
        return self._shown(repo, issue)

    def _unlock(self, act, repo, issue, actor, at):
        del act
        self.acts.unlock_issue(repo, issue, actor, at)
        return self._shown(repo, issue)

    def _transfer(self, act, repo, issue, actor, at):
        target = self.state.find_repo(act["to"])
        return self._shown(target, self.acts.transfer_issue(repo, issue, actor, target, at))

    def _delete(self, act, repo, issue, actor, at):
        del act, at
        self.acts.delete_issue(repo, issue, actor)
        return {"deleted": True}

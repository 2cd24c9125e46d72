"""The admin API below /_sandbox: setting up, acting as people, looking, and breaking things. README.md is its manual.

Each function answers one route: (request, path parameters) → anything that JSON can write. Under State.lock, except
`wait`. Missing becomes 404, ValueError 422, both with the reason.
"""

import fnmatch
import json
import secrets
import string
import traceback

from auth import make_key_pair, rsa_numbers
from http_types import ApiError, Reply, Routes
from people import PERSON, People
from shapes import Shapes
from state import Missing, iso, parse_iso
from webhooks import delivery_details

FILES_MAX = 200              # shown of a repository
PERMISSIONS = {"issues": "write", "contents": "read", "metadata": "read"}
APP_EVENTS = ["issues", "issue_comment", "push", "label", "repository"]
HOOK_MEMBERS = ("url", "secret", "events", "content_type", "active", "insecure_ssl")


class Admin:
    """The admin API of one forge (see forge.py for its members)."""

    def __init__(self, forge):
        self.forge, self.state, self.acts = forge, forge.state, forge.acts
        self.table = Routes()
        self.people = People(forge)
        repo = "/_sandbox/repos/{owner}/{name}"
        for method, template, function in (
                ("GET", "/_sandbox", self.index), ("GET", "/_sandbox/health", self.health),
                ("POST", "/_sandbox/users", self.make_user), ("POST", "/_sandbox/orgs", self.make_org),
                ("POST", "/_sandbox/repos", self.make_repo), ("PATCH", repo, self.edit_repo),
                ("DELETE", repo, self.delete_repo),
                ("GET", "/_sandbox/repositories/{number}", self.repo_by_id), ("POST", repo + "/files", self.commit),
                ("GET", repo + "/files", self.files), ("POST", "/_sandbox/apps", self.make_app),
                ("POST", "/_sandbox/apps/{slug}/installations", self.install),
                ("PATCH", "/_sandbox/installations/{installation}", self.edit_installation),
                ("DELETE", "/_sandbox/installations/{installation}", self.uninstall),
                ("POST", "/_sandbox/tokens", self.make_token), ("POST", "/_sandbox/tokens/revoke", self.revoke),
                ("POST", "/_sandbox/hooks", self.make_hook), ("GET", "/_sandbox/hooks", self.list_hooks),
                ("PATCH", "/_sandbox/hooks/{hook}", self.edit_hook),
                ("DELETE", "/_sandbox/hooks/{hook}", self.delete_hook),
                ("POST", "/_sandbox/act", self.people.act),
                ("GET", "/_sandbox/requests", self.requests), ("POST", "/_sandbox/requests/clear", self.clear),
                ("GET", "/_sandbox/stats", self.stats), ("GET", "/_sandbox/state", self.whole_state),
                ("GET", "/_sandbox/issues/{owner}/{name}", self.issues),
                ("GET", "/_sandbox/issues/{owner}/{name}/{number}", self.issue),
                ("GET", "/_sandbox/deliveries", self.deliveries),
                ("GET", "/_sandbox/deliveries/{delivery}", self.delivery),
                ("POST", "/_sandbox/deliveries/{delivery}/redeliver", self.redeliver),
                ("POST", "/_sandbox/deliver", self.deliver), ("GET", "/_sandbox/wait", self.wait),
                ("POST", "/_sandbox/reset", self.reset), ("POST", "/_sandbox/clock", self.clock),
                ("GET", "/_sandbox/limits", self.limits), ("PATCH", "/_sandbox/limits", self.set_limits),
                ("PATCH", "/_sandbox/meta", self.set_meta),
                ("POST", "/_sandbox/faults", self.add_fault), ("GET", "/_sandbox/faults", self.list_faults),
                ("DELETE", "/_sandbox/faults", self.drop_faults),
                ("DELETE", "/_sandbox/faults/{fault}", self.drop_faults)):
            self.table.add(method, template, function)

    def answer(self, request):
        """The Reply to one admin request."""
        function, request.route, found = self.table.find(request.method, request.path)
        if function is None:
            hint = f"; it has {', '.join(found)}" if found else "; deploy/sandbox/README.md lists what there is"
            return Reply(405 if found else 404, {"message": f"no {request.method} {request.path}{hint}"})
        if request.from_elsewhere():
            return Reply(403, {"message": "browsers may call this from the sandbox's own pages only"})
        try:
            if function == self.wait:
                return self.wait(request)
            with self.state.lock:
                result = function(request, **found)
            return result if isinstance(result, Reply) else Reply(200, result)
        except ApiError as error:
            return Reply(error.status, {"message": error.message})
        except Missing as error:
            return Reply(404, {"message": str(error)})
        except (ValueError, TypeError, KeyError) as error:
            text = f"missing or unknown: {error}" if isinstance(error, KeyError) else str(error)
            return Reply(422, {"message": text})
        except Exception as error:           # a bug of the sandbox
            traceback.print_exc()
            return Reply(500, {"message": f"a bug of the sandbox: {error!r}"})

    def shapes(self):
        return Shapes(self.state, self.forge.base)

    def index(self, request):
        del request
        return {"message": "the sandbox forge's admin API; deploy/sandbox/README.md is its manual"}

    def health(self, request):
        del request
        return {"ok": True, "url": self.forge.base}

    # ---- set up ----

    def make_user(self, request):
        body = request.json()
        user, created = self.state.ensure_account(body["login"], body.get("type", "User"))
        for org in body.get("member_of", ()):
            add_member(self.state.ensure_account(org, "Organization")[0], user["login"])
        token = body.get("token")
        if token:
            self.forge.appapi.new_token(token, login=user["login"])
        return {"login": user["login"], "id": user["id"], "token": token, "created": created}

    def make_org(self, request):
        body = request.json()
        org, created = self.state.ensure_account(body["login"], "Organization")
        for login in body.get("members", ()):
            self.state.ensure_account(login)
            add_member(org, login)
        return {"login": org["login"], "id": org["id"], "created": created}

    def make_repo(self, request):
        body, actor = request.json(), request.json().get("as", PERSON)
        owner, slash, name = body["full_name"].partition("/")
        if not slash or not owner or not name or "/" in name:
            raise ValueError(f"full_name is owner/name, not {body['full_name']!r}")
        self.state.ensure_account(actor)
        self.state.ensure_account(owner, body.get("owner_type", "Organization"))
        repo, moved = self.state.repo_named(owner, name)
        created = repo is None or moved
        if created:
            chosen = {k: body[k] for k in ("private", "description", "default_branch") if k in body}
            repo = self.acts.create_repo(owner, name, actor, **chosen)
        for label in body.get("labels", ()):
            about = {"name": label} if isinstance(label, str) else label
            if about["name"].lower() not in repo["labels"]:
                self.acts.create_label(repo, about["name"], actor, about.get("color"), about.get("description"))
        for login in body.get("collaborators", ()):
            self.state.ensure_account(login)
            repo["collaborators"] = sorted({*repo["collaborators"], login})
        files = {p: t for p, t in body.get("files", {}).items() if self._differs(repo, p, t)}
        if files:
            self.acts.commit(repo, files, "Set up by the sandbox", actor)
        self.state.touch()
        return {**self.shapes().full_repo(repo), "created": created}

    def _differs(self, repo, path, text):
        commit = self.forge.git.resolve(repo)
        here = self.forge.git.entries(repo, commit, path) if commit else []
        return not here or self.forge.git.blob(repo, here[0][2]) != text.encode()

    def edit_repo(self, request, owner, name):
        repo, body = self.state.find_repo(f"{owner}/{name}"), request.json()
        actor = body.get("as", PERSON)
        self.state.ensure_account(actor)
        if "name" in body or "full_name" in body:
            new_owner, _, new_name = body.get("full_name", f"{repo['owner']}/{body.get('name')}").partition("/")
            self.acts.move_repo(repo, new_owner, new_name, actor)
        if "private" in body:
            self.acts.set_private(repo, bool(body["private"]), actor)
        repo.update({k: bool(body[k]) for k in ("archived", "has_issues") if k in body})
        self.state.touch()
        return self.shapes().full_repo(repo)

    def delete_repo(self, request, owner, name):
        del request
        self.acts.delete_repo(self.state.find_repo(f"{owner}/{name}"), PERSON)
        return {"deleted": True}

    def repo_by_id(self, request, number):
        del request
        repo = self.state.repo(number)
        if not repo:
            raise Missing(f"no repository with the id {number} in this sandbox")
        return self.shapes().full_repo(repo)

    def commit(self, request, owner, name):
        body, repo = request.json(), self.state.find_repo(f"{owner}/{name}")
        actor = self.state.ensure_account(body.get("as", PERSON))[0]["login"]
        at = parse_iso(body["at"]) if "at" in body else None
        return {"commit": self.acts.commit(repo, body["files"], body.get("message", "Change files"), actor,
                                           body.get("branch"), at)}

    def files(self, request, owner, name):
        return self.forge.git.files(self.state.find_repo(f"{owner}/{name}"), request.query.get("ref"), FILES_MAX)

    # ---- Apps, tokens, hooks ----

    def make_app(self, request):
        body = request.json()
        app, pem = self.state.app_by_slug(body["slug"]), None
        created = app is None
        if created:
            app, pem = self._new_app(body)
        app.update({k: body[k] for k in ("permissions", "events", "name", "description") if k in body})
        if not created and body.get("public_key"):
            rsa_numbers(body["public_key"])
            app["public_key"] = body["public_key"]
        hook = self._app_hook(app, body.get("webhook") or {})
        self.state.touch()
        return {"id": app["id"], "client_id": app["client_id"], "slug": app["slug"],
                "hook_id": hook["id"] if hook else None, **({"pem": pem} if pem else {}), "created": created}

    def _new_app(self, body):
        """(a new App with its bot, the private key or None when the public one was given)."""
        public, pem = body.get("public_key"), None
        if public is None:
            pem, public = make_key_pair()
        rsa_numbers(public)
        owner, now = body.get("owner", PERSON), iso(self.state.now())
        self.state.ensure_account(owner)
        self.state.ensure_account(body["slug"] + "[bot]", "Bot")
        letters = string.ascii_letters + string.digits
        app = {"id": self.state.new_id("app"), "slug": body["slug"], "name": body.get("name", body["slug"]),
               "client_id": "Iv23" + "".join(secrets.choice(letters) for _ in range(16)), "owner": owner,
               "description": "", "public_key": public, "permissions": dict(PERMISSIONS),
               "events": list(APP_EVENTS), "created_at": now, "updated_at": now}
        self.state.data["apps"][str(app["id"])] = app
        return app, pem

    def _app_hook(self, app, wanted):
        """The App's hook, made or changed as wanted; None when it has none."""
        hook = next((h for h in self.state.data["hooks"].values()
                     if h["target"] == "integration" and h["target_id"] == app["id"]), None)
        if hook:
            hook.update({k: wanted[k] for k in ("url", "secret") if k in wanted})
        elif wanted.get("url"):
            hook = self.acts.add_hook("integration", app["id"], app["owner"], url=wanted["url"],
                                      secret=wanted.get("secret"), events=["*"])
        return hook

    def install(self, request, slug):
        body, app = request.json(), self.state.app_by_slug(slug)
        if not app:
            raise Missing(f"no App {slug!r} in this sandbox")
        account = self.state.ensure_account(body["account"], "Organization")[0]
        found = next((i for i in self.state.data["installations"].values()
                      if i["app_id"] == app["id"] and i["account"] == account["login"]), None)
        wanted = self._repositories(body.get("repositories", "all"))
        if found is None:
            made = self.acts.install(app, account, wanted, body.get("permissions", dict(app["permissions"])), PERSON)
            return {"id": made["id"], "created": True}
        found["permissions"] = body.get("permissions", found["permissions"])
        if found["repositories"] != wanted:
            self.acts.set_installed(found, wanted, PERSON)
        return {"id": found["id"], "created": False}

    def _repositories(self, names):
        return "all" if names == "all" else [self.state.find_repo(n)["id"] for n in names]

    def _installation(self, number):
        found = self.state.data["installations"].get(str(number))
        if not found:
            raise Missing(f"no installation {number} in this sandbox")
        return found

    def edit_installation(self, request, installation):
        found, body = self._installation(installation), request.json()
        wanted = self._repositories(body["repositories"]) if "repositories" in body else found["repositories"]
        if "add" in body or "remove" in body:
            listed = {r["id"] for r in self.acts.installed(found)} if wanted == "all" else set(wanted)
            listed |= set(self._repositories(body.get("add", [])))
            wanted = sorted(listed - set(self._repositories(body.get("remove", []))))
        if wanted != found["repositories"]:
            self.acts.set_installed(found, wanted, body.get("as", PERSON))
        found["permissions"] = body.get("permissions", found["permissions"])
        if "suspended" in body:
            self.acts.suspend(found, bool(body["suspended"]), body.get("as", PERSON))
        self.state.touch()
        return self.shapes().installation(found)

    def uninstall(self, request, installation):
        del request
        self.acts.uninstall(self._installation(installation), PERSON)
        return {"deleted": True}

    def make_token(self, request):
        body = request.json()
        if "installation" in body:
            about = {"installation": self._installation(body["installation"])["id"]}
        else:
            about = {"login": self.state.ensure_account(body["login"])[0]["login"]}
        token, made = self.forge.appapi.new_token(body.get("token"), body.get("expires_in_s"), **about)
        return {"token": token, "expires_at": made["expires_at"]}

    def revoke(self, request):
        body, tokens = request.json(), self.state.data["tokens"]
        gone = [t for t, about in tokens.items() if t == body.get("token")
                or ("login" in body and about.get("login") == body["login"])
                or ("installation" in body and about.get("installation") == body["installation"])]
        for token in gone:
            del tokens[token]
        self.state.touch()
        return {"revoked": len(gone)}

    def make_hook(self, request):
        body = request.json()
        target, target_id = self._hook_target(body)
        chosen = {k: body[k] for k in HOOK_MEMBERS if k in body}
        hook = next((h for h in self.state.data["hooks"].values() if (h["target"], h["target_id"], h["url"])
                     == (target, target_id, body["url"])), None)
        created = hook is None
        if created:
            actor = self.state.ensure_account(body.get("as", PERSON))[0]["login"]
            hook = self.acts.add_hook(target, target_id, actor, body.get("ping", True),
                                      **{"secret": None, "events": ["*"], **chosen})
        else:
            hook.update(chosen)
        self.state.touch()
        return {**self.shapes().hook(hook), "created": created}

    def _hook_target(self, body):
        """(target, its id) that the body of a hook names."""
        if "repository" in body:
            return "repository", self.state.find_repo(body["repository"])["id"]
        if "organization" in body:
            return "organization", self.state.ensure_account(body["organization"], "Organization")[0]["id"]
        app = self.state.app_by_slug(body.get("app"))
        if not app:
            raise ValueError('say whose hook it is: "repository", "organization" or the slug of an existing "app"')
        return "integration", app["id"]

    def _hook(self, number):
        found = self.state.data["hooks"].get(str(number))
        if not found:
            raise Missing(f"no hook {number} in this sandbox")
        return found

    def list_hooks(self, request):
        del request
        return {"hooks": [self.shapes().hook(h) for h in self.state.data["hooks"].values()]}

    def edit_hook(self, request, hook):
        found, body = self._hook(hook), request.json()
        found.update({k: body[k] for k in HOOK_MEMBERS if k in body})
        self.state.touch()
        return self.shapes().hook(found)

    def delete_hook(self, request, hook):
        del request
        del self.state.data["hooks"][str(self._hook(hook)["id"])]
        self.state.touch()
        return {"deleted": True}

    # ---- look ----

    def requests(self, request):
        query, log = request.query, self.forge.log
        tests = {"method": lambda e, v: e["method"] == v, "path": lambda e, v: fnmatch.fnmatchcase(e["path"], v),
                 "actor": lambda e, v: e["actor"] == v, "status": lambda e, v: str(e["status"]) == v,
                 "since": lambda e, v: e["n"] > int(v)}
        found = [e for e in log.entries if all(test(e, query[k]) for k, test in tests.items() if k in query)]
        return {"requests": found, "count": len(found), "last": log.last}

    def clear(self, request):
        del request
        self.forge.log.clear()
        self.acts.implicit_labels = self.forge.rest.label_replacements = 0
        return {"cleared": True}

    def stats(self, request):
        del request
        log, sent = self.forge.log, self.state.data["deliveries"]
        kinds = {f"{n}xx": sum(1 for d in sent if d["status_code"] // 100 == n) for n in (2, 3, 4, 5)}
        pending = self.forge.hooks.pending()
        return {"requests": dict(log.counts), "by_actor": dict(log.by_actor), "reads": log.reads,
                "writes": log.writes, "not_modified": log.not_modified,
                "labels_created_implicitly": self.acts.implicit_labels,
                "label_replacements": self.forge.rest.label_replacements,
                "deliveries": {"sent": len(sent), "failed": len(sent) - kinds["2xx"] - pending, "pending": pending,
                               **kinds}}

    def whole_state(self, request):
        del request
        return self.state.data

    def issues(self, request, owner, name):
        repo, wanted = self.state.find_repo(f"{owner}/{name}"), request.query.get("state", "all")
        shapes = self.shapes()
        return {"issues": [{"number": i["number"], "title": i["title"], "state": i["state"],
                            "pull_request": i["pull_request"], "comments": len(i["comments"]),
                            "labels": [lb["name"] for lb in shapes.labels_of(repo, i)]}
                           for i in repo["issues"].values()
                           if not i.get("gone") and wanted in ("all", i["state"])]}

    def issue(self, request, owner, name, number):
        del request
        repo = self.state.find_repo(f"{owner}/{name}")
        issue, shapes = self.state.find_issue(repo, number), self.shapes()
        return {"issue": shapes.issue_with_closer(repo, issue),
                "labels": [lb["name"] for lb in shapes.labels_of(repo, issue)],
                "comments": [shapes.comment(repo, issue, c) for c in issue["comments"]],
                "timeline": [shapes.event(repo, issue, e) for e in issue["events"]]}

    def deliveries(self, request):
        query = request.query
        found = [d for d in reversed(self.state.data["deliveries"])
                 if query.get("hook") in (None, str(d["hook_id"])) and query.get("event") in (None, d["event"])
                 and d["id"] > int(query.get("since", 0))]
        shapes = self.shapes()
        return {"deliveries": [{**shapes.delivery(d), "hook_id": d["hook_id"], "url": d["url"]} for d in found]}

    def _delivery(self, number):
        found = next((d for d in self.state.data["deliveries"] if str(d["id"]) == number), None)
        if not found:
            raise Missing(f"no delivery {number} in this sandbox")
        return found

    def delivery(self, request, delivery):
        del request
        found = self._delivery(delivery)
        return {**delivery_details(self.shapes(), found), "hook_id": found["hook_id"]}

    def redeliver(self, request, delivery):
        del request
        record = self.forge.hooks.redeliver(self._delivery(delivery))
        if record is None:
            raise Missing("the hook of that delivery is gone")
        return self.shapes().delivery(record)

    def deliver(self, request):
        body = request.json()
        hook, payload = self._hook(body["hook"]), body["payload"]
        raw = payload.encode("utf-8", "surrogatepass") if isinstance(payload, str) else json.dumps(
            payload, ensure_ascii=False, separators=(",", ":")).encode()
        action = payload.get("action") if isinstance(payload, dict) else None
        record = self.forge.hooks.send(hook, body["event"], action, raw, guid=body.get("guid"))
        if record is None:
            raise ValueError("the payload is larger than GitHub would send (25 MB)")
        return self.shapes().delivery(record)

    def wait(self, request):
        """Without the state's lock: the deliveries need it to end."""
        idle = self.forge.hooks.wait_idle(float(request.query.get("timeout_s", 10)))
        return Reply(200 if idle else 504, {"idle": idle})

    # ---- break ----

    def reset(self, request):
        self.state.reset()
        self.forge.limits.clear()
        self.forge.faults.remove()
        self.clear(request)
        return {"reset": True}

    def clock(self, request):
        self.state.data["clock_offset_s"] += float(request.json()["advance_s"])
        self.state.touch()
        return {"now": iso(self.state.now())}

    def limits(self, request):
        del request
        return self.state.data["limits"]

    def set_limits(self, request):
        limits, body = self.state.data["limits"], request.json()
        for name, value in body.items():
            if name not in limits:
                raise ValueError(f"no limit {name!r}; there are {', '.join(limits)}")
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
                raise ValueError(f"{name} must be a whole number or null, not {value!r}")
        limits.update(body)
        self.state.touch()
        return limits

    def set_meta(self, request):
        """What GET /meta names as `hooks`, right or wrong: nothing of the sandbox depends on it."""
        self.state.data["hook_ranges"] = request.json()["hooks"]
        self.state.touch()
        return {"hooks": self.state.data["hook_ranges"]}

    def add_fault(self, request):
        return {"id": self.forge.faults.add(request.json())}

    def list_faults(self, request):
        del request
        return {"faults": self.forge.faults.list()}

    def drop_faults(self, request, fault=None):
        del request
        return {"removed": self.forge.faults.remove(int(fault) if fault else None)}


def add_member(org, login):
    if login.lower() not in (m.lower() for m in org["members"]):
        org["members"].append(login)

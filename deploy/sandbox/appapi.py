"""The REST API of Apps, installations, tokens, accounts and hooks, as routes. See rest.py for the manner.

An App proves itself by a JWT on /app… and …/installation; everything else of an App is done with an installation's
token, which lives for an hour (`token_ttl_s`).
"""

import secrets
import string

from http_types import ApiError, Reply, page, page_of
from shapes import Shapes
from state import HOOK_RANGES, installation_has, iso, parse_iso
from webhooks import delivery_details

DELIVERIES_DAYS = 3          # how far back GitHub's list of deliveries goes
ALPHABET = string.ascii_letters + string.digits
HOOKS_MEMBERS = ("url", "content_type", "secret", "insecure_ssl")


class AppApi:
    """The routes over one forge (see forge.py for its members)."""

    def __init__(self, forge, rest):
        self.state, self.acts, self.limits, self.hooks = forge.state, forge.acts, forge.limits, forge.hooks
        self.rest = rest

    def routes(self, table):
        app, token = "/app", "/app/installations/{installation}/access_tokens"
        for method, template, function in (
                ("GET", "/user", self.get_user), ("GET", "/users/{login}", self.get_account),
                ("GET", "/orgs/{login}", self.get_account),
                ("GET", "/orgs/{login}/repos", self.list_account_repos),
                ("GET", "/users/{login}/repos", self.list_account_repos),
                ("GET", "/rate_limit", self.get_rate_limit), ("GET", "/meta", self.get_meta),
                ("GET", app, self.get_app), ("GET", "/apps/{slug}", self.get_app_by_slug),
                ("GET", app + "/installations", self.list_installations),
                ("GET", app + "/installations/{installation}", self.get_installation),
                ("DELETE", app + "/installations/{installation}", self.delete_installation),
                ("POST", token, self.create_token), ("DELETE", "/installation/token", self.revoke_token),
                ("GET", "/repos/{owner}/{repo}/installation", self.get_repo_installation),
                ("GET", "/orgs/{login}/installation", self.get_account_installation),
                ("GET", "/users/{login}/installation", self.get_account_installation),
                ("GET", "/installation/repositories", self.list_installed),
                ("GET", app + "/hook/config", self.get_app_hook_config),
                ("PATCH", app + "/hook/config", self.edit_app_hook_config)):
            table.add(method, template, function)
        for place in ("/repos/{owner}/{repo}/hooks", "/orgs/{login}/hooks"):
            for method, tail, function in (
                    ("GET", "", self.list_hooks), ("POST", "", self.create_hook), ("GET", "/{hook}", self.get_hook),
                    ("PATCH", "/{hook}", self.edit_hook), ("DELETE", "/{hook}", self.delete_hook),
                    ("POST", "/{hook}/pings", self.ping_hook)):
                table.add(method, place + tail, function)
        for place in ("/repos/{owner}/{repo}/hooks/{hook}", "/orgs/{login}/hooks/{hook}", app + "/hook"):
            table.add("GET", place + "/deliveries", self.list_deliveries)
            table.add("GET", place + "/deliveries/{delivery}", self.get_delivery)
            table.add("POST", place + "/deliveries/{delivery}/attempts", self.redeliver)

    def _shapes(self, request):
        return Shapes(self.state, request.base)

    # ---- accounts, limits ----

    def get_user(self, request):
        if request.viewer.kind == "anonymous":
            raise ApiError(401, "Requires authentication")
        if request.viewer.kind != "user":
            raise ApiError(403, "Resource not accessible by integration")
        return Reply(200, self._shapes(request).full_user(request.viewer.login))

    def get_account(self, request, login):
        if not self.state.account(login):
            raise ApiError(404, "Not Found")
        return Reply(200, self._shapes(request).full_user(login))

    def list_account_repos(self, request, login):
        if not self.state.account(login):
            raise ApiError(404, "Not Found")
        shapes = self._shapes(request)
        return page(request, [r for r in self.state.repos_of(login) if request.viewer.sees(r)], shapes.repo)

    def get_rate_limit(self, request):
        return Reply(200, self.limits.overview(request.viewer))

    def get_meta(self, request):
        """Where this sandbox's deliveries come from; `hooks` as the admin API has set it."""
        del request
        here = list(HOOK_RANGES)
        return Reply(200, {"verifiable_password_authentication": False, "hooks": self.state.data["hook_ranges"],
                           "web": here, "api": here, "git": here})

    # ---- Apps ----

    @staticmethod
    def _app(request):
        """The App that asks by JWT; ApiError 401 otherwise."""
        if request.viewer.kind != "app":
            raise ApiError(401, "A JSON web token could not be decoded")
        return request.viewer.app

    def get_app(self, request):
        app = self._app(request)
        count = sum(1 for i in self.state.data["installations"].values() if i["app_id"] == app["id"])
        return Reply(200, {**self._shapes(request).app(app), "installations_count": count})

    def get_app_by_slug(self, request, slug):
        app = self.state.app_by_slug(slug)
        if not app:
            raise ApiError(404, "Not Found")
        return Reply(200, self._shapes(request).app(app))

    def _installations(self, request):
        app = self._app(request)
        return [i for i in self.state.data["installations"].values() if i["app_id"] == app["id"]]

    def list_installations(self, request):
        return page(request, self._installations(request), self._shapes(request).installation)

    def _installation(self, request, wanted):
        """The first installation of the asking App that fits; ApiError 404."""
        found = next((i for i in self._installations(request) if wanted(i)), None)
        if not found:
            raise ApiError(404, "Not Found")
        return found

    def get_installation(self, request, installation):
        found = self._installation(request, lambda i: str(i["id"]) == installation)
        return Reply(200, self._shapes(request).installation(found))

    def delete_installation(self, request, installation):
        found = self._installation(request, lambda i: str(i["id"]) == installation)
        self.acts.uninstall(found, request.viewer.app["owner"])
        return Reply(204)

    def get_repo_installation(self, request, owner, repo):
        self._app(request)
        found, moved = self.state.repo_named(owner, repo)
        seen = self._installation(request, lambda i: bool(found) and installation_has(i, found))
        if moved:
            url = f"{request.base}/repositories/{found['id']}/installation"
            raise ApiError(301, "Moved Permanently", headers={"Location": url}, url=url)
        return Reply(200, self._shapes(request).installation(seen))

    def get_account_installation(self, request, login):
        found = self._installation(request, lambda i: i["account"].lower() == login.lower())
        return Reply(200, self._shapes(request).installation(found))

    def create_token(self, request, installation):
        """A new installation token, narrowed to what the body names."""
        found = self._installation(request, lambda i: str(i["id"]) == installation)
        if found["suspended_at"]:
            raise ApiError(403, "This installation has been suspended")
        body = request.json((dict, type(None))) or {}
        chosen, permissions = self._chosen(found, body), body.get("permissions")
        for name, level in (permissions or {}).items():
            if (found["permissions"].get(name) or "") < level:
                raise ApiError(422, "The permissions requested are not granted to this installation.")
        token, about = self.new_token(installation=found["id"], permissions=permissions,
                                      repositories=[r["id"] for r in chosen] if chosen is not None else None)
        answer = {"token": token, "expires_at": about["expires_at"], "permissions": permissions or found["permissions"],
                  "repository_selection": "selected" if chosen is not None or found["repositories"] != "all" else "all"}
        if chosen is not None:
            answer["repositories"] = [self._shapes(request).repo(r) for r in chosen]
        return Reply(201, answer)

    def _chosen(self, installation, body):
        """The repositories that a token is asked for; None for all; ApiError 422 when one is not installed."""
        if "repositories" not in body and "repository_ids" not in body:
            return None
        installed = self.acts.installed(installation)
        names = {str(n).lower() for n in body.get("repositories") or ()}
        ids = set(body.get("repository_ids") or ())
        chosen = [r for r in installed if r["name"].lower() in names or r["id"] in ids]
        if len(chosen) < max(len(names), len(ids)):
            raise ApiError(422, "There is at least one repository that does not exist or is not accessible to the "
                                "parent installation.")
        return chosen

    def new_token(self, token=None, expires_in_s=None, **about):
        """Remembers a token of a person (`login`) or an `installation`; returns (token, its record)."""
        tokens, now = self.state.data["tokens"], self.state.now()
        for old in [t for t, a in tokens.items() if a["expires_at"] and parse_iso(a["expires_at"]) < now - 86400]:
            del tokens[old]
        if "installation" in about and expires_in_s is None:
            expires_in_s = self.state.data["limits"]["token_ttl_s"]
        prefix = "ghs_" if "installation" in about else "ghp_"
        token = token or prefix + "".join(secrets.choice(ALPHABET) for _ in range(36))
        about = {k: v for k, v in about.items() if v is not None}
        tokens[token] = {**about, "expires_at": iso(now + expires_in_s) if expires_in_s is not None else None}
        self.state.touch()
        return token, tokens[token]

    def revoke_token(self, request):
        if request.viewer.kind != "installation":
            raise ApiError(403, "Resource not accessible by personal access token")
        for token, about in list(self.state.data["tokens"].items()):
            if about is request.viewer.grant:
                del self.state.data["tokens"][token]
        return Reply(204)

    def list_installed(self, request):
        viewer = request.viewer
        if viewer.kind != "installation":
            raise ApiError(403, "You must authenticate with an installation access token in order to list "
                                "repositories for an installation.")
        repos = [r for r in self.acts.installed(viewer.installation) if viewer.lists(r)]
        part, headers = page_of(request, repos)
        selection = "all" if viewer.installation["repositories"] == "all" else "selected"
        return Reply(200, {"total_count": len(repos), "repository_selection": selection,
                           "repositories": [self._shapes(request).repo(r) for r in part]}, headers)

    # ---- hooks ----

    def _target(self, request, owner=None, repo=None, login=None):
        """(target, id) of the hooks that the path names, when the viewer administers them."""
        viewer = request.viewer
        if login is not None:
            account = self.state.account(login)
            people = [login.lower(), *(m.lower() for m in (account or {"members": []})["members"])]
            if not account or viewer.kind != "user" or viewer.login.lower() not in people:
                raise ApiError(404, "Not Found")
            return "organization", account["id"]
        found = self.rest.repo(request, owner, repo)
        granted = viewer.kind == "installation" and viewer.lists(found) and viewer.permission("repository_hooks")
        if not viewer.belongs(found) and not granted:
            raise ApiError(404, "Not Found")
        return "repository", found["id"]

    def _hooks_of(self, target, target_id):
        return [h for h in self.state.data["hooks"].values() if (h["target"], h["target_id"]) == (target, target_id)]

    def _hook(self, request, hook=None, **place):
        """One hook by its path; without a number the App's own."""
        target = self._target(request, **place) if place else ("integration", self._app(request)["id"])
        found = next((h for h in self._hooks_of(*target) if hook in (None, str(h["id"]))), None)
        if not found:
            raise ApiError(404, "Not Found")
        return found

    def list_hooks(self, request, **place):
        return page(request, self._hooks_of(*self._target(request, **place)), self._shapes(request).hook)

    def create_hook(self, request, **place):
        target, target_id = self._target(request, **place)
        body = request.json()
        config = body.get("config") or {}
        if not config.get("url"):
            raise ApiError(422, "Validation Failed", [{"resource": "Hook", "code": "custom", "field": "url",
                                                       "message": "url cannot be blank"}])
        if any(h["url"] == config["url"] for h in self._hooks_of(target, target_id)):
            raise ApiError(422, "Validation Failed", [{"resource": "Hook", "code": "custom",
                                                       "message": "Hook already exists on this " + target}])
        hook = self.acts.add_hook(target, target_id, request.viewer.login, url=config["url"],
                                  secret=config.get("secret"), events=body.get("events") or ["push"],
                                  content_type=config.get("content_type", "form"), active=body.get("active", True),
                                  insecure_ssl=str(config.get("insecure_ssl", "0")))
        return Reply(201, self._shapes(request).hook(hook))

    def get_hook(self, request, **place):
        return Reply(200, self._shapes(request).hook(self._hook(request, **place)))

    def edit_hook(self, request, **place):
        hook, body = self._hook(request, **place), request.json()
        hook.update({k: str(v) for k, v in (body.get("config") or {}).items() if k in HOOKS_MEMBERS})
        hook.update({k: body[k] for k in ("events", "active") if k in body})
        hook["updated_at"] = iso(self.state.now())
        self.state.touch()
        return Reply(200, self._shapes(request).hook(hook))

    def delete_hook(self, request, **place):
        del self.state.data["hooks"][str(self._hook(request, **place)["id"])]
        self.state.touch()
        return Reply(204)

    def ping_hook(self, request, **place):
        self.hooks.ping(self._hook(request, **place), request.viewer.login)
        return Reply(204)

    def get_app_hook_config(self, request):
        return Reply(200, self._shapes(request).hook(self._hook(request))["config"])

    def edit_app_hook_config(self, request):
        hook = self._hook(request)
        hook.update({k: str(v) for k, v in request.json().items() if k in HOOKS_MEMBERS})
        self.state.touch()
        return self.get_app_hook_config(request)

    # ---- deliveries ----

    def _deliveries(self, request, place):
        hook = self._hook(request, **place)
        oldest = iso(self.state.now() - DELIVERIES_DAYS * 86400)
        return [d for d in reversed(self.state.data["deliveries"])
                if d["hook_id"] == hook["id"] and d["delivered_at"] >= oldest]

    def list_deliveries(self, request, **place):
        """Newest first, paged by a cursor in the Link header, as on GitHub."""
        found = self._deliveries(request, place)
        cursor = request.query.get("cursor", "")
        if cursor:
            if not cursor.isdigit():
                raise ApiError(422, "Validation Failed", [{"resource": "HookDelivery", "code": "invalid",
                                                           "field": "cursor"}])
            found = [d for d in found if d["id"] <= int(cursor)]
        size = request.number("per_page", 30, 100)
        headers = {}
        if len(found) > size:
            headers["Link"] = (f'<{request.base}{request.path}?per_page={size}&cursor={found[size]["id"]}>; '
                               'rel="next"')
        return Reply(200, [self._shapes(request).delivery(d) for d in found[:size]], headers)

    def _delivery(self, request, delivery, place):
        found = next((d for d in self._deliveries(request, place) if str(d["id"]) == delivery), None)
        if not found:
            raise ApiError(404, "Not Found")
        return found

    def get_delivery(self, request, delivery, **place):
        return Reply(200, delivery_details(self._shapes(request), self._delivery(request, delivery, place)))

    def redeliver(self, request, delivery, **place):
        self.hooks.redeliver(self._delivery(request, delivery, place))
        return Reply(202, {})

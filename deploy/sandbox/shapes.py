"""How GitHub writes things in JSON: the remembered records (state.py) as REST answers and webhook payloads show them.

A Shapes is made for one base address, because every answer is full of absolute addresses: REST answers use the address
that the client called, webhook payloads the sandbox's own. Which members there are follows GitHub's OpenAPI
description (version 2022-11-28); tests/contract holds it to that. URL templates stay templates (`{/sha}`), as there.
"""

from urllib.parse import quote

from state import full_name, node_id

AVATARS = "https://avatars.githubusercontent.com/u"

# Member of a repository → path below its API address.
REPO_URLS = {
    "archive_url": "/{archive_format}{/ref}", "assignees_url": "/assignees{/user}", "blobs_url": "/git/blobs{/sha}",
    "branches_url": "/branches{/branch}", "collaborators_url": "/collaborators{/collaborator}",
    "comments_url": "/comments{/number}", "commits_url": "/commits{/sha}", "compare_url": "/compare/{base}...{head}",
    "contents_url": "/contents/{+path}", "contributors_url": "/contributors", "deployments_url": "/deployments",
    "downloads_url": "/downloads", "events_url": "/events", "forks_url": "/forks",
    "git_commits_url": "/git/commits{/sha}", "git_refs_url": "/git/refs{/sha}",
    "git_tags_url": "/git/tags{/sha}", "hooks_url": "/hooks",
    "issue_comment_url": "/issues/comments{/number}", "issue_events_url": "/issues/events{/number}",
    "issues_url": "/issues{/number}", "keys_url": "/keys{/key_id}", "labels_url": "/labels{/name}",
    "languages_url": "/languages", "merges_url": "/merges", "milestones_url": "/milestones{/number}",
    "notifications_url": "/notifications{?since,all,participating}", "pulls_url": "/pulls{/number}",
    "releases_url": "/releases{/id}", "stargazers_url": "/stargazers", "statuses_url": "/statuses/{sha}",
    "subscribers_url": "/subscribers", "subscription_url": "/subscription", "tags_url": "/tags", "teams_url": "/teams",
    "trees_url": "/git/trees{/sha}"}

# Member of an account → path below its API address.
USER_URLS = {
    "followers_url": "/followers", "following_url": "/following{/other_user}", "gists_url": "/gists{/gist_id}",
    "starred_url": "/starred{/owner}{/repo}", "subscriptions_url": "/subscriptions", "organizations_url": "/orgs",
    "repos_url": "/repos", "events_url": "/events{/privacy}", "received_events_url": "/received_events"}

REACTIONS = ("+1", "-1", "laugh", "hooray", "confused", "heart", "rocket", "eyes")


class Shapes:
    """Writes records as GitHub does, with addresses below `base` ("http://host:port", no slash at the end)."""

    def __init__(self, state, base):
        self.state = state
        self.base = base

    # ---- accounts ----

    def user(self, login):
        """A `simple-user`; for an account that is no longer known, GitHub's ghost."""
        account = self.state.account(login) or {"id": 10137, "login": "ghost", "type": "User"}
        name, url = account["login"], f"{self.base}/users/{quote(account['login'])}"    # nodag%5Bbot%5D
        app = self.state.app_of_bot(name)
        return {"login": name, "id": account["id"], "node_id": node_id("U", account["id"]),
                "avatar_url": f"{AVATARS}/{account['id']}?v=4", "gravatar_id": "", "url": url,
                "html_url": f"{self.base}/apps/{app['slug']}" if app else f"{self.base}/{name}",
                **{member: url + path for member, path in USER_URLS.items()},
                "type": account["type"], "user_view_type": "public", "site_admin": False}

    def full_user(self, login):
        """The answer of GET /user and GET /users/{login}."""
        account = self.state.account(login)
        return {**self.user(login), "name": account["name"], "company": None, "blog": "", "location": None,
                "email": None, "hireable": None, "bio": None, "twitter_username": None,
                "public_repos": len(self.state.repos_of(login)), "public_gists": 0, "followers": 0, "following": 0,
                "created_at": account["created_at"], "updated_at": account["created_at"]}

    def organization(self, login):
        """The `organization` member of webhook payloads."""
        account = self.state.account(login)
        url = f"{self.base}/orgs/{account['login']}"
        return {"login": account["login"], "id": account["id"], "node_id": node_id("O", account["id"]), "url": url,
                "repos_url": url + "/repos", "events_url": url + "/events", "hooks_url": url + "/hooks",
                "issues_url": url + "/issues", "members_url": url + "/members{/member}",
                "public_members_url": url + "/public_members{/member}",
                "avatar_url": f"{AVATARS}/{account['id']}?v=4", "description": ""}

    def association(self, repo, login):
        """What the author is to the repository, as `author_association` says it."""
        if login.lower() == repo["owner"].lower():
            return "OWNER"
        owner = self.state.account(repo["owner"])
        if owner and login.lower() in (m.lower() for m in owner["members"]):
            return "MEMBER"
        return "COLLABORATOR" if login.lower() in (c.lower() for c in repo["collaborators"]) else "NONE"

    # ---- repositories ----

    def repo_url(self, repo):
        return f"{self.base}/repos/{full_name(repo)}"

    def repo(self, repo):
        """A `repository` as in lists and webhook payloads."""
        name, url = full_name(repo), self.repo_url(repo)
        html, host = f"{self.base}/{name}", self.base.split("://", 1)[1]
        open_issues = sum(1 for i in repo["issues"].values() if i.get("state") == "open")
        return {"id": repo["id"], "node_id": node_id("R", repo["id"]), "name": repo["name"], "full_name": name,
                "private": repo["private"], "owner": self.user(repo["owner"]), "html_url": html,
                "description": repo["description"], "fork": False, "url": url,
                **{member: url + path for member, path in REPO_URLS.items()},
                "git_url": f"git://{host}/{name}.git", "ssh_url": f"git@{host}:{name}.git",
                "clone_url": html + ".git", "svn_url": html, "mirror_url": None, "homepage": None, "language": None,
                "forks_count": 0, "stargazers_count": 0, "watchers_count": 0, "size": 0,
                "default_branch": repo["default_branch"], "open_issues_count": open_issues, "is_template": False,
                "topics": [], "has_issues": repo["has_issues"], "has_projects": True, "has_wiki": True,
                "has_pages": False, "has_downloads": True, "has_discussions": False, "archived": repo["archived"],
                "disabled": False, "visibility": "private" if repo["private"] else "public",
                "pushed_at": repo["pushed_at"], "created_at": repo["created_at"], "updated_at": repo["updated_at"],
                "forks": 0, "open_issues": open_issues, "watchers": 0, "license": None, "allow_forking": True,
                "web_commit_signoff_required": False}

    def full_repo(self, repo):
        """The answer of GET /repos/{owner}/{repo}."""
        shape = {**self.repo(repo), "network_count": 0, "subscribers_count": 0, "temp_clone_token": None}
        if self.state.account(repo["owner"])["type"] == "Organization":
            shape["organization"] = self.user(repo["owner"])
        return shape

    def short_repo(self, repo):
        """As in the `repositories` of installation payloads."""
        return {"id": repo["id"], "node_id": node_id("R", repo["id"]), "name": repo["name"],
                "full_name": full_name(repo), "private": repo["private"]}

    def label(self, repo, label):
        return {"id": label["id"], "node_id": node_id("LA", label["id"]),
                "url": f"{self.repo_url(repo)}/labels/{quote(label['name'], safe='')}", "name": label["name"],
                "color": label["color"], "default": label["default"], "description": label["description"]}

    # ---- issues ----

    def issue_url(self, repo, issue):
        return f"{self.repo_url(repo)}/issues/{issue['number']}"

    def labels_of(self, repo, issue):
        """The issue's labels. They are kept by id, so that renaming one renames it everywhere."""
        by_id = {label["id"]: label for label in repo["labels"].values()}
        return [self.label(repo, by_id[i]) for i in issue["labels"] if i in by_id]

    def issue(self, repo, issue):
        """An `issue`, with `pull_request` when it is one."""
        url, kind = self.issue_url(repo, issue), "pull" if issue["pull_request"] else "issues"
        html = f"{self.base}/{full_name(repo)}/{kind}/{issue['number']}"
        shape = {"url": url, "repository_url": self.repo_url(repo), "labels_url": url + "/labels{/name}",
                 "comments_url": url + "/comments", "events_url": url + "/events", "html_url": html,
                 "id": issue["id"], "node_id": node_id("PR" if issue["pull_request"] else "I", issue["id"]),
                 "number": issue["number"], "title": issue["title"], "user": self.user(issue["user"]),
                 "labels": self.labels_of(repo, issue), "state": issue["state"], "locked": issue["locked"],
                 "assignee": None, "assignees": [], "milestone": None, "comments": len(issue["comments"]),
                 "created_at": issue["created_at"], "updated_at": issue["updated_at"],
                 "closed_at": issue["closed_at"], "author_association": self.association(repo, issue["user"]),
                 "active_lock_reason": issue["lock_reason"], "body": issue["body"],
                 "reactions": self.reactions(url), "timeline_url": url + "/timeline",
                 "performed_via_github_app": self.via_app(issue["user"]), "state_reason": issue["state_reason"]}
        if issue["pull_request"]:
            api = f"{self.repo_url(repo)}/pulls/{issue['number']}"
            shape["draft"] = False
            shape["pull_request"] = {"url": api, "html_url": html, "diff_url": html + ".diff",
                                     "patch_url": html + ".patch", "merged_at": None}
        return shape

    def issue_with_closer(self, repo, issue):
        """The answer of GET on one issue: it also names who closed it."""
        closer = issue.get("closed_by")
        return {**self.issue(repo, issue), "closed_by": self.user(closer) if closer else None}

    @staticmethod
    def reactions(url):
        return {"url": url + "/reactions", "total_count": 0, **{name: 0 for name in REACTIONS}}

    def comment(self, repo, issue, comment):
        url = f"{self.repo_url(repo)}/issues/comments/{comment['id']}"
        kind = "pull" if issue["pull_request"] else "issues"
        return {"url": url, "issue_url": self.issue_url(repo, issue), "id": comment["id"],
                "html_url": f"{self.base}/{full_name(repo)}/{kind}/{issue['number']}#issuecomment-{comment['id']}",
                "node_id": node_id("IC", comment["id"]), "user": self.user(comment["user"]),
                "created_at": comment["created_at"], "updated_at": comment["updated_at"], "body": comment["body"],
                "author_association": self.association(repo, comment["user"]), "reactions": self.reactions(url),
                "performed_via_github_app": self.via_app(comment["user"])}

    # ---- events ----

    def event(self, repo, issue, event, in_timeline=True):
        """An entry of the timeline, or of the list of events; None for an entry that only the other one has."""
        if event["event"] == "commented":
            return self._commented(repo, issue, event) if in_timeline else None
        shape = {"id": event["id"], "node_id": node_id("EV", event["id"]),
                 "url": f"{self.repo_url(repo)}/issues/events/{event['id']}", "actor": self.user(event["actor"]),
                 "event": event["event"], "commit_id": None, "commit_url": None, "created_at": event["created_at"]}
        if "label" in event:
            shape["label"] = {"name": event["label"]["name"], "color": event["label"]["color"]}
        if "rename" in event:
            shape["rename"] = dict(event["rename"])
        if event["event"] in ("locked", "unlocked"):
            shape["lock_reason"] = event.get("lock_reason")
        if event["event"] in ("closed", "reopened"):
            shape["state_reason"] = event.get("state_reason")
        return {**shape, "performed_via_github_app": self.via_app(event["actor"])}

    def _commented(self, repo, issue, event):
        comment = next((c for c in issue["comments"] if c["id"] == event["comment"]), None)
        if comment is None:
            return None
        return {**self.comment(repo, issue, comment), "event": "commented", "actor": self.user(comment["user"])}

    # ---- Apps ----

    def via_app(self, login):
        """`performed_via_github_app` of something that login did: the App for its bot, None for a person."""
        app = self.state.app_of_bot(login)
        return self.app(app) if app else None

    def app(self, app):
        return {"id": app["id"], "client_id": app["client_id"], "slug": app["slug"], "node_id": node_id("A", app["id"]),
                "owner": self.user(app["owner"]), "name": app["name"], "description": app["description"],
                "external_url": f"{self.base}/apps/{app['slug']}", "html_url": f"{self.base}/apps/{app['slug']}",
                "created_at": app["created_at"], "updated_at": app["updated_at"],
                "permissions": app["permissions"], "events": app["events"]}

    def installation(self, installation):
        app = self.state.data["apps"][str(installation["app_id"])]
        account = self.state.account(installation["account"])
        path = f"organizations/{account['login']}/settings" if account["type"] == "Organization" else "settings"
        return {"id": installation["id"], "client_id": app["client_id"], "account": self.user(account["login"]),
                "repository_selection": "all" if installation["repositories"] == "all" else "selected",
                "access_tokens_url": f"{self.base}/app/installations/{installation['id']}/access_tokens",
                "repositories_url": f"{self.base}/installation/repositories",
                "html_url": f"{self.base}/{path}/installations/{installation['id']}", "app_id": app["id"],
                "app_slug": app["slug"], "target_id": account["id"], "target_type": account["type"],
                "permissions": installation["permissions"], "events": app["events"],
                "created_at": installation["created_at"], "updated_at": installation["updated_at"],
                "single_file_name": None, "has_multiple_single_files": False, "single_file_paths": [],
                "suspended_by": None, "suspended_at": installation["suspended_at"]}

    # ---- hooks ----

    def hook_url(self, hook):
        """The address of a hook in the API, by whose it is."""
        if hook["target"] == "repository":
            return f"{self.repo_url(self.state.repo(hook['target_id']))}/hooks/{hook['id']}"
        if hook["target"] == "organization":
            return f"{self.base}/orgs/{self.state.account_by_id(hook['target_id'])['login']}/hooks/{hook['id']}"
        return f"{self.base}/app/hook"

    def hook(self, hook):
        url = self.hook_url(hook)
        config = {"content_type": hook["content_type"], "insecure_ssl": hook["insecure_ssl"], "url": hook["url"]}
        if hook["secret"]:
            config["secret"] = "********"
        kinds = {"repository": "Repository", "organization": "Organization", "integration": "App"}
        shape = {"type": kinds[hook["target"]], "id": hook["id"], "name": "web", "active": hook["active"],
                 "events": hook["events"],
                 "config": config, "updated_at": hook["updated_at"], "created_at": hook["created_at"],
                 "url": url, "ping_url": url + "/pings", "deliveries_url": url + "/deliveries"}
        if hook["target"] == "repository":
            shape["test_url"] = url + "/test"
            shape["last_response"] = dict(hook["last_response"])
        if hook["target"] == "integration":
            shape["app_id"] = hook["target_id"]
        return shape

    @staticmethod
    def delivery(delivery):
        """A delivery as lists show it."""
        return {key: delivery[key] for key in
                ("id", "guid", "delivered_at", "redelivery", "duration", "status", "status_code", "event", "action",
                 "installation_id", "repository_id", "throttled_at")}

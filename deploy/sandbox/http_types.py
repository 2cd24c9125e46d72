"""What passes between the sockets (server.py) and the routes: a request, a reply, an error, a table of routes.

Paths are matched as they came, and only then are the segments percent-decoded: `a%2Fb` is one segment, as on GitHub.
"""

import json
import re
import urllib.parse

PER_PAGE_DEFAULT = 30        # GitHub's
PER_PAGE_MAX = 100
DOCS = "https://docs.github.com/rest"


class ApiError(Exception):
    """An answer other than success: GitHub's message, and `errors` for 422."""

    def __init__(self, status, message, errors=None, headers=None, **members):
        super().__init__(message)
        self.status = status
        self.message = message
        self.errors = errors
        self.headers = headers or {}
        self.members = members

    def reply(self):
        body = {"message": self.message, **self.members}
        if self.errors is not None:
            body["errors"] = self.errors
        return Reply(self.status, {**body, "documentation_url": DOCS, "status": str(self.status)}, self.headers)


class Reply:
    """An answer: `body` is anything that JSON can write, bytes, or None for no body."""

    def __init__(self, status=200, body=None, headers=None, content_type="application/json; charset=utf-8"):
        self.status = status
        self.headers = dict(headers or {})
        self.content_type = content_type
        if body is None or isinstance(body, bytes):
            self.raw = body
        else:
            self.raw = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


class Request:
    """One request: `path` without the query, still encoded; `base` is the address that the client called."""

    def __init__(self, method, target, headers, body, base):
        self.method = method
        self.path, _, self.query_string = target.partition("?")
        self.query = {k: v[-1] for k, v in
                      urllib.parse.parse_qs(self.query_string, keep_blank_values=True).items()}
        self.headers = headers
        self.body = body
        self.base = base
        self.viewer = None           # set by server.py for REST
        self.route = None            # the template that matched, for the log

    def json(self, kinds=(dict,)):
        """The body as JSON of one of the kinds; ApiError 400 as GitHub words it."""
        try:
            value = json.loads(self.body or b"{}")
        except ValueError as error:
            raise ApiError(400, "Problems parsing JSON") from error
        if not isinstance(value, kinds):
            raise ApiError(400, "Body should be a JSON object")
        return value

    def from_elsewhere(self):
        """Whether a browser sent it from a page of another site, which must not act here."""
        origin, site = self.headers.get("Origin"), self.headers.get("Sec-Fetch-Site", "none")
        return site not in ("none", "same-origin") or (
            origin is not None and urllib.parse.urlsplit(origin).netloc != self.headers.get("Host"))

    def number(self, name, default, maximum):
        """A whole number of the query; what is none counts as the default, as on GitHub."""
        text = self.query.get(name, "")
        value = int(text) if re.fullmatch(r"[0-9]{1,9}", text) else default
        return max(1, min(value, maximum))


def page(request, items, write=lambda item: item):
    """One page of a list, with GitHub's Link header, as a Reply."""
    part, headers = page_of(request, items)
    return Reply(200, [write(item) for item in part], headers)


def page_of(request, items):
    """(the items of the page that the request asks for, headers)."""
    size = request.number("per_page", PER_PAGE_DEFAULT, PER_PAGE_MAX)
    number = request.number("page", 1, 10**9)
    last = max(1, -(-len(items) // size))
    links = []
    for relation, target, shown in (("prev", min(number - 1, last), number > 1), ("next", number + 1, number < last),
                                    ("last", last, number < last), ("first", 1, number > 1)):
        if shown:
            query = urllib.parse.urlencode({**request.query, "page": target})
            links.append(f'<{request.base}{request.path}?{query}>; rel="{relation}"')
    return items[(number - 1) * size:number * size], {"Link": ", ".join(links)} if links else {}


class Routes:
    """A table of routes: `add("GET", "/repos/{owner}/{repo}", function)`; `{path*}` takes slashes too."""

    def __init__(self):
        self._table = []

    def add(self, method, template, function):
        pattern = re.sub(r"\\{(\w+)\\\*\\}", r"(?P<\1>.+)", re.escape(template).replace("\\*", "\\*"))
        pattern = re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", pattern)
        self._table.append((method, re.compile(pattern + "/?"), template, function))

    def find(self, method, path):
        """(function, template, parameters); function None when no route has that path, with the methods it has."""
        methods = []
        for known, pattern, template, function in self._table:
            match = pattern.fullmatch(path)
            if match and known == method:
                return function, template, {k: urllib.parse.unquote(v) for k, v in match.groupdict().items()}
            if match:
                methods.append(known)
        return None, None, methods

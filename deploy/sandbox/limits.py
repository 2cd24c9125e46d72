"""How often a client may ask: GitHub's primary limit, and its secondary limits on creating content.

    primary    so many requests an hour for each person, installation, App or (anonymous) for all; answered 403 with
               X-RateLimit-Remaining: 0. Conditional requests answered 304 are given back; /rate_limit never counts
    secondary  content (POST, PATCH, PUT and DELETE on issues, labels, comments) a minute and an hour; answered 403
               with Retry-After. Off unless set, because a local demonstration writes faster than GitHub would allow

Counts are not saved. Call under State.lock.
"""

import collections

from http_types import ApiError

WINDOW_S = 3600
SEARCH_LIMIT = 30            # shown by /rate_limit; there is no search here
SECONDARY_TEXT = ("You have exceeded a secondary rate limit. Please wait a few minutes before you try again. "
                  "If you reach out to GitHub Support for help, please include the request ID.")


def secondary_error(status, retry_after_s):
    """GitHub's answer for a secondary limit."""
    headers = {} if retry_after_s is None else {"Retry-After": str(int(retry_after_s))}
    return ApiError(status, SECONDARY_TEXT, headers=headers)


def primary_error(viewer):
    """GitHub's answer for the primary limit."""
    whom = {"installation": lambda: f"installation ID {viewer.installation['id']}",
            "user": lambda: f"user ID {(viewer.state.account(viewer.login) or {'id': 0})['id']}",
            "app": lambda: f"app ID {viewer.app['id']}"}.get(viewer.kind, lambda: "127.0.0.1")()
    return ApiError(403, f"API rate limit exceeded for {whom}.")


class Limits:
    """The windows of every client."""

    def __init__(self, state):
        self.state = state
        self.windows = {}            # key → [start, used]
        self._content = collections.defaultdict(collections.deque)     # key → times of content made

    def clear(self):
        self.windows.clear()
        self._content.clear()

    def limit_of(self, viewer):
        return self.state.data["limits"]["anonymous_per_hour" if viewer.kind == "anonymous" else "primary_per_hour"]

    def _window(self, viewer):
        now = int(self.state.now())
        window = self.windows.setdefault(viewer.key, [now, 0])
        if now >= window[0] + WINDOW_S:
            window[:] = [now, 0]
        return window

    def take(self, viewer):
        """Counts one request; ApiError when there is none left."""
        window = self._window(viewer)
        if window[1] >= self.limit_of(viewer):
            raise primary_error(viewer)
        window[1] += 1

    def give_back(self, viewer):
        """A request that does not count after all."""
        window = self._window(viewer)
        window[1] = max(0, window[1] - 1)

    def content(self, viewer):
        """Counts one piece of content; ApiError when a secondary limit is passed."""
        limits, now, times = self.state.data["limits"], self.state.now(), self._content[viewer.key]
        while times and times[0] <= now - WINDOW_S:
            times.popleft()
        for name, span_s in (("content_per_minute", 60), ("content_per_hour", WINDOW_S)):
            maximum = limits[name]
            recent = sum(1 for t in times if t > now - span_s)
            if maximum is not None and recent >= maximum:
                raise secondary_error(403, span_s if span_s == 60 else 600)
        times.append(now)

    def numbers(self, viewer):
        """{limit, used, remaining, reset} as /rate_limit shows them."""
        window, limit = self._window(viewer), self.limit_of(viewer)
        return {"limit": limit, "used": window[1], "remaining": max(0, limit - window[1]),
                "reset": window[0] + WINDOW_S}

    def headers(self, viewer, exhausted_for_s=None):
        """The X-RateLimit headers of an answer; `exhausted_for_s` feigns an exhausted limit that long (a fault)."""
        numbers = self.numbers(viewer)
        if exhausted_for_s is not None:
            numbers.update(used=numbers["limit"], remaining=0, reset=int(self.state.now() + exhausted_for_s))
        return {"X-RateLimit-Limit": str(numbers["limit"]), "X-RateLimit-Remaining": str(numbers["remaining"]),
                "X-RateLimit-Reset": str(numbers["reset"]), "X-RateLimit-Used": str(numbers["used"]),
                "X-RateLimit-Resource": "core"}

    def overview(self, viewer):
        """The answer of GET /rate_limit."""
        core = self.numbers(viewer)
        search = {"limit": SEARCH_LIMIT, "used": 0, "remaining": SEARCH_LIMIT, "reset": int(self.state.now()) + 60}
        graphql = {**core, "used": 0, "remaining": core["limit"]}
        return {"resources": {"core": core, "search": search, "graphql": graphql}, "rate": core}

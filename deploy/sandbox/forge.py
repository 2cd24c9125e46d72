#!/usr/bin/env python3
"""The sandbox forge: GitHub for one machine. This is its entry: options, start and stop. README.md is its manual.

    Forge            puts the parts together; tests make one in their own process
     ├── state       what is remembered            (state.py)
     ├── faults      misbehaviour on request       (faults.py)
     ├── hooks       webhook deliveries            (webhooks.py)
     ├── git         bare repositories             (githttp.py)
     ├── acts        everything that can happen    (acts.py)
     ├── limits      rate limits                   (limits.py)
     ├── rest, appapi → routes                     (rest.py, appapi.py)
     ├── api         REST requests, log            (server.py)
     ├── admin       /_sandbox                     (admin.py, people.py)
     └── pages       HTML                          (pages.py)
"""

import argparse
import os
import signal
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from acts import Acts                        # noqa: E402  (after the path above, so that it runs from anywhere)
from admin import Admin                      # noqa: E402
from appapi import AppApi                    # noqa: E402
from faults import Faults                    # noqa: E402
from githttp import GitStore                 # noqa: E402
from http_types import Routes                # noqa: E402
from limits import Limits                    # noqa: E402
from pages import Pages                      # noqa: E402
from rest import Rest                        # noqa: E402
from server import Api, Log, Server          # noqa: E402
from state import State                      # noqa: E402
from webhooks import Webhooks                # noqa: E402

GITHUB_CONTENT_LIMITS = {"content_per_minute": 80, "content_per_hour": 500}     # as GitHub documents them
POLL_S = 0.2                 # how soon serving notices that it shall stop

EPILOG = """\
what is where:
  /repos/... /app ... /user     the REST API (also below /api/v3)
  /{owner}/{repo}.git           git clone, fetch, push
  /                             pages for people: issues with their labels, comments and history
  /_sandbox/...                 the admin API: set up, act as people, look, misbehave (deploy/sandbox/README.md)

examples:
  forge.py --port 8080
  forge.py --port 0 --ready-file forge.url --state forge.json

  url=http://127.0.0.1:8080
  curl -d '{"full_name": "acme/rocket", "labels": ["bug"]}' $url/_sandbox/repos
  curl -d '{"repository": "acme/rocket", "url": "http://127.0.0.1:9000/github", "secret": "s3"}' $url/_sandbox/hooks
  curl -d '{"do": "open", "as": "alice", "repository": "acme/rocket", "title": "It explodes"}' $url/_sandbox/act
  curl -d '{"kind": "lost_answer", "method": "POST", "path": "/repos/*/labels", "count": 1}' $url/_sandbox/faults
  curl $url/_sandbox/stats
"""


class Forge:
    """One sandbox. `base` is its address ("http://127.0.0.1:PORT") once made."""

    def __init__(self, host="127.0.0.1", port=0, state_path=None, base=None):
        self.state = State(state_path)
        self.server = Server((host, port), self)
        shown = "127.0.0.1" if host in ("", "0.0.0.0") else host
        self.base = base or f"http://{shown}:{self.server.server_address[1]}"
        self.faults = Faults()
        self.hooks = Webhooks(self.state, self.faults, self.base)
        self.git = GitStore(self.state)
        self.acts = Acts(self.state, self.git, self.hooks)
        self.limits = Limits(self.state)
        self.rest = Rest(self)
        self.appapi = AppApi(self, self.rest)
        self.routes = Routes()
        self.rest.routes(self.routes)
        self.appapi.routes(self.routes)
        self.log = Log()
        self.api = Api(self)
        self.admin = Admin(self)
        self.pages = Pages(self)
        self._thread = None

    def start(self, poll_s=POLL_S):
        """Serves on a thread of its own, asking every `poll_s` whether to stop; returns the address."""
        self.hooks.start()
        self.state.start_saving()
        self._thread = threading.Thread(target=self.server.serve_forever, args=(poll_s,), name="forge", daemon=True)
        self._thread.start()
        return self.base

    def stop(self):
        """Stops serving and saves."""
        self.server.shutdown()
        self._thread.join()
        self.server.server_close()
        self.state.close()


def parse_options(arguments):
    parser = argparse.ArgumentParser(
        prog="forge.py", epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter,
        description="A sandbox that behaves as GitHub does in what nodag uses, and misbehaves when told to.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s; the admin "
                        "API has no credentials, so leave it unless a container's network is the fence)")
    parser.add_argument("--port", type=int, default=8080, help="port to listen on; 0: any free one (default: "
                        "%(default)s)")
    parser.add_argument("--base-url", help="its own address as others reach it, for the addresses in webhook "
                        "payloads (default: from host and port)")
    parser.add_argument("--state", metavar="FILE", help="keep everything in FILE (JSON) and FILE.d (git "
                        "repositories); without it nothing survives a stop")
    parser.add_argument("--ready-file", metavar="FILE", help="write the address there once it answers")
    parser.add_argument("--secondary-limits", action="store_true", help="GitHub's limits on creating content: 80 a "
                        "minute, 500 an hour")
    return parser.parse_args(arguments)


def main(arguments=None):
    options = parse_options(arguments)
    try:
        forge = Forge(options.host, options.port, options.state, options.base_url)
    except OSError as error:
        print(f"forge: cannot listen on {options.host}:{options.port}: {error.strerror}; another --port, or 0 for "
              "any free one?", file=sys.stderr)
        return 1
    if options.secondary_limits:
        forge.state.data["limits"].update(GITHUB_CONTENT_LIMITS)
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    base = forge.start()
    if options.ready_file:
        with open(options.ready_file + ".part", "w", encoding="utf-8") as file:
            file.write(base + "\n")
        os.replace(options.ready_file + ".part", options.ready_file)
    print(f"forge: {base}/ (admin API: {base}/_sandbox)", flush=True)
    stopping.wait()
    forge.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())

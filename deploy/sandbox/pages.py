"""Pages for people: repositories, issues, one issue with its labels, comments and history, and forms to act.

Plain HTML without scripts. All text is escaped; Markdown is shown as it was written, except that tables, which nodag's
comment has, become tables. Forms act as the person named in them, and only from pages of this same address.
"""

import html
import re
import urllib.parse

from http_types import ApiError, Reply
from people import PERSON, People
from shapes import Shapes
from state import Missing, full_name

ISSUES_MAX = 200             # on one page
COMMITS_MAX = 20             # on a page of code
FILES_MAX = 100
TEXT_MAX = 100_000           # characters of a file
STYLE = """
body{font:15px/1.5 system-ui,sans-serif;color:#1f2328;max-width:60em;margin:0 auto;padding:1em}
a{color:#0969da;text-decoration:none} a:hover{text-decoration:underline}
header{border-bottom:1px solid #d0d7de;margin-bottom:1em} .dim{color:#656d76} h1{font-weight:500;font-size:1.6em}
.label{display:inline-block;border-radius:1em;padding:0 .7em;font-size:.85em;border:1px solid #0002;margin-right:.3em}
.state{display:inline-block;border-radius:1em;padding:.1em .8em;color:#fff;background:#1a7f37}
.closed{background:#8250df} ul{list-style:none;padding:0} li.row{padding:.5em;border-bottom:1px solid #d8dee4}
.box{border:1px solid #d0d7de;border-radius:6px;margin:1em 0} .box>.by{background:#f6f8fa;padding:.4em 1em;
border-bottom:1px solid #d0d7de;border-radius:6px 6px 0 0} .box>.text{padding:.6em 1em;overflow-wrap:anywhere}
.box>pre{overflow-x:auto;margin:0} .text p{white-space:pre-wrap;margin:.3em 0} .event{margin:.4em 0 .4em 1.5em}
table{border-collapse:collapse;margin:.5em 0}
td,th{border:1px solid #d0d7de;padding:.2em .8em;text-align:left} form.act{display:inline} fieldset{border:1px solid
#d0d7de;border-radius:6px;margin:.6em 0} input,textarea,button{font:inherit} textarea{width:98%} .bot{border:1px solid
#d0d7de;border-radius:1em;padding:0 .5em;font-size:.8em}
"""


class Pages:
    """The pages of one forge."""

    def __init__(self, forge):
        self.forge, self.state, self.people = forge, forge.state, People(forge)

    def answer(self, request):
        """The page that the path names, or what a form asks for."""
        parts = [urllib.parse.unquote(p) for p in request.path.strip("/").split("/") if p]
        try:
            with self.state.lock:
                if request.method == "POST":
                    return self._post(request, parts)
                if request.method not in ("GET", "HEAD"):
                    return document("405", "<p>This is only for looking at.</p>", 405)
                return self._get(request, parts)
        except Missing as error:
            text = f"<p>{html.escape(str(error))}</p><p><a href='/'>All repositories</a></p>"
            return document("Not found", text, 404)
        except (ValueError, ApiError) as error:
            return document("Not done", f"<p>{html.escape(str(error))}</p>", 422)

    def _get(self, request, parts):
        if not parts:
            return self._home()
        if len(parts) == 1:
            return self._home(parts[0])
        repo = self.state.find_repo("/".join(parts[:2]))
        if len(parts) == 2 or parts[2:] == ["issues"]:
            return self._issues(repo, request.query.get("state", "open"))
        if parts[2:] == ["code"]:
            return self._code(repo)
        if len(parts) == 4 and parts[2] in ("issues", "pull"):
            return self._issue(repo, parts[3], request.query.get("as", PERSON))
        raise Missing("no such page")

    # ---- what forms ask for ----

    def _post(self, request, parts):
        """A form: {do, as, ...}, only from a page of this address."""
        if request.from_elsewhere():
            raise ApiError(403, "Forms act only from this sandbox's own pages")
        if len(parts) < 3 or parts[2] != "issues":
            raise Missing("no such form")
        form = dict(urllib.parse.parse_qsl(request.body.decode("utf-8", "replace"), keep_blank_values=True))
        act = {"do": form.get("do"), "repository": "/".join(parts[:2]), "as": form.get("as") or PERSON}
        act.update({k: form[k] for k in ("title", "body", "label") if form.get(k)})
        if len(parts) > 3:
            act["issue"] = parts[3]
        if "comment" in form:
            act["comment"] = int(form["comment"])
        issue = self.people.one(act)["issue"]
        where = f"/{'/'.join(parts[:2])}/issues/{issue['number']}?as={urllib.parse.quote(act['as'])}"
        return Reply(303, b"", {"Location": where})

    # ---- pages ----

    def _home(self, owner=None):
        rows = []
        for repo in self.state.data["repos"].values():
            if owner is None or repo["owner"].lower() == owner.lower():
                count = sum(1 for i in repo["issues"].values() if i.get("state") == "open")
                rows.append(f"<li class=row><a href='/{esc(full_name(repo))}/issues'>{esc(full_name(repo))}</a> "
                            f"<span class=dim>{count} open{' · private' if repo['private'] else ''}</span>")
        stats = self.forge.log
        counts = f"{stats.last} API requests, {len(self.state.data['deliveries'])} deliveries so far"
        return document("Sandbox forge", f"<ul>{''.join(rows) or '<li>No repositories yet.'}</ul>"
                        f"<p class=dim>{counts} · <a href='/_sandbox/stats'>figures</a> · "
                        "<a href='/_sandbox/requests'>requests</a> · <a href='/_sandbox/deliveries'>deliveries</a></p>")

    def _issues(self, repo, wanted):
        shapes, name = Shapes(self.state, ""), esc(full_name(repo))
        chosen = [i for i in repo["issues"].values() if not i.get("gone") and wanted in ("all", i["state"])]
        rows = []
        for issue in sorted(chosen, key=lambda i: -i["number"])[:ISSUES_MAX]:
            labels = "".join(pill(lb) for lb in shapes.labels_of(repo, issue))
            rows.append(f"<li class=row><a href='/{name}/issues/{issue['number']}'>{esc(issue['title'])}</a> {labels}"
                        f"<div class=dim>#{issue['number']} {issue['state']} · opened {issue['created_at']} by "
                        f"{esc(issue['user'])} · {len(issue['comments'])} comments</div>")
        tabs = " · ".join(f"<a href='?state={s}'>{s}</a>" for s in ("open", "closed", "all"))
        tabs += f" · <a href='/{name}/code'>code</a>" if self.forge.git.resolve(repo) else ""
        more = f"<p class=dim>The newest {ISSUES_MAX} of {len(chosen)}.</p>" if len(chosen) > ISSUES_MAX else ""
        form = ("<form method=post><fieldset><legend>New issue</legend><input type=hidden name=do value=open>"
                "<p><input name=title size=60 placeholder=Title required> as "
                f"<input name=as size=12 value={PERSON}></p><textarea name=body rows=5></textarea>"
                "<button>Open</button></fieldset></form>")
        return document(full_name(repo), f"<p>{tabs}</p><ul>{''.join(rows) or '<li>None.'}</ul>{more}{form}",
                        crumb=f"<a href='/{name}/issues'>{name}</a>")

    def _code(self, repo):
        """The newest commits of the default branch, and its files; the texts of small ones can be unfolded."""
        git, name = self.forge.git, esc(full_name(repo))
        commit = git.resolve(repo)
        rows = [f"<li class=row>{esc(c['message'].splitlines()[0] if c['message'] else '')} <div class=dim><code>"
                f"{c['id'][:12]}</code> {esc(c['timestamp'])} by {esc(c['author']['name'])}</div>"
                for c in reversed(git.newest(repo, COMMITS_MAX))]
        files = git.files(repo, None, FILES_MAX) if commit else {}
        shown = [f"<details class=box><summary class=by>{esc(path)} <span class=dim>{len(text)} characters</span></summary>"
                 f"<pre class=text>{esc(text[:TEXT_MAX])}{'…' if len(text) > TEXT_MAX else ''}</pre></details>"
                 for path, text in files.items()]
        clone = f"<p class=dim>git clone {esc(self.forge.base)}/{name}.git</p>"
        return document(full_name(repo), f"{clone}<h3>Files</h3>{''.join(shown) or '<p>None.'}<h3>Commits</h3>"
                        f"<ul>{''.join(rows) or '<li>None.'}</ul>", crumb=f"<a href='/{name}/issues'>{name}</a>")

    def _issue(self, repo, number, person):
        issue, name, shapes = self.state.find_issue(repo, number), esc(full_name(repo)), Shapes(self.state, "")
        closed = " closed" if issue["state"] == "closed" else ""
        who = f"<input type=hidden name=as value='{esc(person)}'>"
        labels = "".join(pill(lb) + self._button(who, "unlabel", "×", f"take {lb['name']} off", label=lb["name"])
                         for lb in shapes.labels_of(repo, issue))
        parts = [f"<p><span class='state{closed}'>{issue['state']}</span> <span class=dim>#{number} opened "
                 f"{issue['created_at']} by {self._who(issue['user'])}</span></p>",
                 f"<div class=row>Labels: {labels or '<span class=dim>none</span>'}</div>",
                 box(self._who(issue["user"]), issue["created_at"], issue["body"])]
        parts += [self._history(issue, event) for event in issue["events"]]
        turn = self._button(who, *(("reopen", "Reopen") if closed else ("close", "Close")), "")
        known = "".join(f"<option value='{esc(lb['name'])}'>" for lb in repo["labels"].values())
        parts.append(
            f"<form method=post><fieldset><legend>Act as <input name=as size=12 value='{esc(person)}'></legend>"
            "<textarea name=body rows=4></textarea><button name=do value=comment>Comment</button> "
            f"<input name=label list=labels size=20><datalist id=labels>{known}</datalist>"
            f"<button name=do value=label>Add label</button></fieldset></form><p>{turn}</p>")
        return document(f"{issue['title']} · #{number}", "".join(parts), heading=issue["title"],
                        crumb=f"<a href='/{name}/issues'>{name}</a>")

    @staticmethod
    def _button(who, act, text, hint, **members):
        hidden = "".join(f"<input type=hidden name={k} value='{esc(v)}'>" for k, v in members.items())
        return (f"<form class=act method=post>{who}{hidden}<button name=do value={act} title='{esc(hint)}'>"
                f"{text}</button></form> ")

    def _who(self, login):
        account = self.state.account(login) or {}
        return f"<b>{esc(login)}</b>" + (" <span class=bot>bot</span>" if account.get("type") == "Bot" else "")

    def _history(self, issue, event):
        if event["event"] == "commented":
            comment = next(c for c in issue["comments"] if c["id"] == event["comment"])
            edited = " · edited" if comment["updated_at"] != comment["created_at"] else ""
            return box(self._who(comment["user"]), comment["created_at"] + edited, comment["body"])
        what = {"labeled": "added the label", "unlabeled": "took off the label", "comment_deleted": "deleted a comment",
                "renamed": "changed the title", "transferred": "transferred this"}.get(event["event"], event["event"])
        detail = pill(event["label"]) if "label" in event else ""
        if "rename" in event:
            detail = f"<s>{esc(event['rename']['from'])}</s> {esc(event['rename']['to'])}"
        return (f"<div class='event dim'>{self._who(event['actor'])} {what} {detail} "
                f"<small>{event['created_at']}</small></div>")


def esc(text):
    return html.escape(str(text), quote=True)


def pill(label):
    """A label in its colour, its text dark or light by the colour's brightness."""
    colour = label["color"] if re.fullmatch(r"[0-9a-fA-F]{6}", label["color"] or "") else "ededed"
    red, green, blue = (int(colour[i:i + 2], 16) for i in (0, 2, 4))
    ink = "#1f2328" if 0.299 * red + 0.587 * green + 0.114 * blue > 140 else "#fff"
    return f"<span class=label style='background:#{colour};color:{ink}'>{esc(label['name'])}</span>"


def box(who, when, text):
    return f"<div class=box><div class=by>{who} <span class=dim>{esc(when)}</span></div><div class=text>" \
           f"{written(text)}</div></div>"


def written(text):
    """Text for reading: escaped, HTML comments (markers) left out, Markdown tables as tables."""
    text = re.sub(r"<!--.*?-->", "", text or "", flags=re.S).replace("\r\n", "\n").strip()
    if not text:
        return "<p class=dim>No description.</p>"
    out = []
    for block in re.split(r"\n{2,}", text):
        lines = block.split("\n")
        ruled = next((n for n, line in enumerate(lines) if n and re.fullmatch(r"\|?[\s:|-]*-[\s:|-]*\|?", line)), None)
        if ruled is not None and "|" in lines[ruled - 1]:
            before, rest = lines[:ruled - 1], lines[ruled - 1:]
            rows = [line for line in rest if "|" in line]
            after = [line for line in rest if "|" not in line]
            out.append(paragraph(before) + table(rows[0], rows[2:]) + paragraph(after))
        else:
            out.append(paragraph(lines))
    return "".join(out)


def paragraph(lines):
    text = re.sub(r"`([^`\n]+)`", r"<code>\1</code>", html.escape("\n".join(lines)))
    return f"<p>{text}</p>" if text.strip() else ""


def table(head, rows):
    def cells(row, kind):
        found = row.strip().strip("|").split("|")
        return "<tr>" + "".join(f"<{kind}>{paragraph([c.strip()])[3:-4]}</{kind}>" for c in found) + "</tr>"
    return f"<table>{cells(head, 'th')}{''.join(cells(row, 'td') for row in rows)}</table>"


def document(title, body, status=200, heading=None, crumb=""):
    """A whole page as a Reply."""
    text = (f"<!doctype html><html lang=en><meta charset=utf-8><title>{esc(title)}</title><style>{STYLE}</style>"
            "<meta name=viewport content='width=device-width'>"
            f"<header><a href='/'>Sandbox forge</a> {crumb and '/'} {crumb}<h1>{esc(heading or title)}</h1></header>"
            f"{body}")
    return Reply(status, text.encode("utf-8", "surrogatepass"),
                 {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'",
                  "Cache-Control": "no-store"}, content_type="text/html; charset=utf-8")

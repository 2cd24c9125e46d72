"""The REST API of repositories, issues, labels, timeline, comments and contents."""

import base64
import email.utils
import threading
import unittest

from fixture import ForgeTest
from state import parse_iso


class Labels(ForgeTest):
    def test_adding_is_one_event_each_and_none_for_what_is_there(self):
        body = self.expect(200, self.alice.post(self.issue + "/labels", {"labels": ["bug", "area/x"]}))
        self.assertEqual([label["name"] for label in body], ["bug", "area/x"])
        self.expect(200, self.alice.post(self.issue + "/labels", ["BUG"]))
        timeline = self.expect(200, self.alice.get(self.issue + "/timeline"))
        self.assertEqual([(e["event"], e["label"]["name"], e["actor"]["login"]) for e in timeline],
                         [("labeled", "bug", "alice"), ("labeled", "area/x", "alice")])

    def test_adding_what_the_repository_lacks_creates_it_and_is_counted(self):
        self.act("label", issue=1, label="bug")
        self.assertEqual(self.admin("GET", "stats")["labels_created_implicitly"], 0)
        self.expect(200, self.alice.post(self.issue + "/labels", {"labels": ["brand new"]}))
        self.assertEqual(self.admin("GET", "stats")["labels_created_implicitly"], 1)
        label = self.expect(200, self.alice.get("/repos/acme/rocket/labels/brand%20new"))
        self.assertEqual(label["color"], "ededed")

    def test_removing_answers_what_remains_and_404_for_what_is_not_on(self):
        self.alice.post(self.issue + "/labels", {"labels": ["bug", "area/x"]})
        body = self.expect(200, self.alice.ask("DELETE", self.issue + "/labels/area%2Fx"))
        self.assertEqual([label["name"] for label in body], ["bug"])
        body = self.expect(404, self.alice.ask("DELETE", self.issue + "/labels/area%2Fx"))
        self.assertEqual(body["message"], "Label does not exist")

    def test_replacing_all_is_counted(self):
        self.act("label", issue=1, label="bug")
        self.expect(200, self.alice.ask("PUT", self.issue + "/labels", {"labels": ["question"]}))
        self.assertEqual(self.labels(), ["question"])
        self.assertEqual(self.admin("GET", "stats")["label_replacements"], 1)

    def test_renaming_a_label_renames_it_on_issues(self):
        self.act("label", issue=1, label="bug")
        self.expect(200, self.alice.ask("PATCH", "/repos/acme/rocket/labels/bug", {"new_name": "kind/bug"}))
        self.assertEqual(self.labels(), ["kind/bug"])

    def test_bad_bodies(self):
        for body, status in ((b"{", 400), ({"names": []}, 422), ({"labels": [1]}, 422), ({"labels": "bug"}, 422),
                             ({"labels": ["x" * 51]}, 422), (b"3", 400)):
            with self.subTest(body=body):
                self.expect(status, self.alice.post(self.issue + "/labels", body))
        self.assertEqual(self.labels(), [])

    def test_many_at_once_lose_nothing(self):
        names = [f"label-{n}" for n in range(24)]

        def put(part):
            client = self.client("alice-token")
            for name in part:
                client.post(self.issue + "/labels", {"labels": [name]})
        threads = [threading.Thread(target=put, args=(names[n::8],)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(sorted(self.labels()), sorted(names))


class Issues(ForgeTest):
    def test_an_issue_as_github_writes_it(self):
        body = self.expect(200, self.anyone.get(self.issue))
        self.assertEqual((body["number"], body["title"], body["state"], body["user"]["login"]),
                         (1, "It explodes", "open", "bob"))
        self.assertGreater(body["id"], 2**31)
        self.assertNotIn("pull_request", body)

    def test_a_pull_request_is_an_issue_with_a_member_more(self):
        number = self.act("open", title="Fix", pull_request=True)["issue"]["number"]
        self.assertIn("pull_request", self.expect(200, self.anyone.get(f"/repos/acme/rocket/issues/{number}")))

    def test_editing_closing_reopening_locking_leave_a_timeline(self):
        self.expect(200, self.alice.ask("PATCH", self.issue, {"title": "New", "body": "text"}))
        self.expect(200, self.alice.ask("PATCH", self.issue, {"state": "closed", "state_reason": "not_planned"}))
        self.expect(200, self.alice.ask("PATCH", self.issue, {"state": "open"}))
        self.expect(204, self.alice.ask("PUT", self.issue + "/lock", {"lock_reason": "spam"}))
        body = self.expect(200, self.anyone.get(self.issue))
        self.assertEqual((body["locked"], body["active_lock_reason"], body["title"]), (True, "spam", "New"))
        timeline = self.expect(200, self.anyone.get(self.issue + "/timeline"))
        self.assertEqual([e["event"] for e in timeline], ["renamed", "closed", "reopened", "locked"])
        self.assertEqual(timeline[0]["rename"], {"from": "It explodes", "to": "New"})

    def test_lists_filter_and_page(self):
        for number in range(2, 6):
            self.act("open", title=f"Issue {number}", labels=["bug"] if number % 2 else [])
        self.act("close", issue=2)
        for query, numbers in (("", [5, 4, 3, 1]), ("?state=all&direction=asc", [1, 2, 3, 4, 5]),
                               ("?state=closed", [2]), ("?labels=bug", [5, 3]), ("?creator=bob", [1]),
                               ("?state=all&per_page=2&page=2", [3, 2])):
            with self.subTest(query=query):
                body = self.expect(200, self.anyone.get("/repos/acme/rocket/issues" + query))
                self.assertEqual([i["number"] for i in body], numbers)
        links = self.anyone.get("/repos/acme/rocket/issues?state=all&per_page=2&page=2").headers["Link"]
        for relation in ("prev", "next", "first", "last"):
            self.assertIn(f'rel="{relation}"', links)
        self.assertIn(f"<{self.base}/repos/acme/rocket/issues?state=all&per_page=2&page=3>", links)

    def test_a_deleted_issue_is_gone_and_a_transferred_one_redirects(self):
        self.admin("POST", "repos", {"full_name": "acme/pad", "labels": ["bug"]})
        self.act("open", title="Second", labels=["bug", "question"])
        self.act("comment", issue=2, body="moves too")
        moved = self.act("transfer", issue=2, to="acme/pad")["issue"]
        self.assertEqual([label["name"] for label in moved["labels"]], ["bug"])
        answer = self.anyone.get("/repos/acme/rocket/issues/2/timeline?per_page=5")
        self.expect(301, answer)
        events = self.expect(200, self.anyone.get(answer.headers["Location"].removeprefix(self.base)))
        self.assertEqual([e["event"] for e in events], ["labeled", "labeled", "commented", "transferred"])
        self.expect(307, self.alice.post("/repos/acme/rocket/issues/2/labels", {"labels": ["bug"]}))
        self.act("delete", issue=1)
        self.expect(410, self.anyone.get(self.issue))
        self.expect(404, self.anyone.get("/repos/acme/rocket/issues/99"))

    def test_a_renamed_repository_redirects_by_id(self):
        self.admin("PATCH", "repos/acme/rocket", {"name": "shuttle"})
        answer = self.anyone.get("/repos/acme/rocket/issues/1?x=1")
        self.expect(301, answer)
        repo_id = self.anyone.get("/repos/acme/shuttle").body["id"]
        self.assertEqual(answer.headers["Location"], f"{self.base}/repositories/{repo_id}/issues/1?x=1")
        self.assertEqual(self.expect(200, self.anyone.get(f"/repositories/{repo_id}/issues/1"))["number"], 1)


class Comments(ForgeTest):
    def test_made_edited_deleted(self):
        made = self.expect(201, self.alice.post(self.issue + "/comments", {"body": "héllo"}))
        self.assertGreater(made["id"], 2**31)
        path = f"/repos/acme/rocket/issues/comments/{made['id']}"
        self.expect(200, self.alice.ask("PATCH", path, {"body": "bye"}))
        timeline = self.expect(200, self.anyone.get(self.issue + "/timeline"))
        self.assertEqual([(e["event"], e["body"], e["author_association"], e["user"]["login"]) for e in timeline],
                         [("commented", "bye", "MEMBER", "alice")])
        self.assertEqual(self.expect(200, self.anyone.get(self.issue + "/events")), [])
        self.expect(204, self.alice.ask("DELETE", path))
        self.expect(404, self.anyone.get(path))
        timeline = self.expect(200, self.anyone.get(self.issue + "/timeline"))
        self.assertEqual([e["event"] for e in timeline], ["comment_deleted"])

    def test_refused(self):
        self.expect(422, self.alice.post(self.issue + "/comments", {"body": "  "}))
        self.expect(422, self.alice.post(self.issue + "/comments", {"body": "x" * 65537}))
        self.expect(404, self.alice.ask("PATCH", "/repos/acme/rocket/issues/comments/7", {"body": "x"}))


class Access(ForgeTest):
    def test_who_may_write(self):
        body = {"labels": ["bug"]}
        self.expect(401, self.anyone.post(self.issue + "/labels", body))
        self.expect(403, self.client("mallory-token").post(self.issue + "/labels", body))
        self.expect(401, self.client("no such token").get(self.issue))
        self.assertEqual(self.labels(), [])

    def test_a_private_repository_does_not_exist_for_others(self):
        self.admin("PATCH", "repos/acme/rocket", {"private": True})
        for client, status in ((self.anyone, 404), (self.client("mallory-token"), 404), (self.alice, 200)):
            self.expect(status, client.get("/repos/acme/rocket"))

    def test_user_agent_and_version_are_asked_for(self):
        self.expect(403, self.anyone.ask("GET", self.issue, None, {"User-Agent": None}))
        self.expect(400, self.anyone.ask("GET", self.issue, None, {"X-GitHub-Api-Version": "1999-01-01"}))
        answer = self.anyone.ask("GET", self.issue, None, {"X-GitHub-Api-Version": "2022-11-28"})
        self.assertEqual(answer.headers["X-GitHub-Api-Version-Selected"], "2022-11-28")

    def test_archived_and_issues_off(self):
        self.admin("PATCH", "repos/acme/rocket", {"has_issues": False})
        self.expect(410, self.anyone.get(self.issue))
        self.admin("PATCH", "repos/acme/rocket", {"has_issues": True, "archived": True})
        self.expect(200, self.anyone.get(self.issue))
        self.expect(403, self.alice.post(self.issue + "/labels", {"labels": ["bug"]}))

    def test_the_enterprise_prefix(self):
        self.assertIn("/api/v3/repos/", self.expect(200, self.anyone.get("/api/v3" + self.issue))["url"])


class Contents(ForgeTest):
    def test_file_folder_and_absence(self):
        body = self.expect(200, self.anyone.get("/repos/acme/rocket/contents/docs%2Fa%20b.txt"))
        self.assertEqual(base64.b64decode(body["content"]), b"text\n")
        self.assertEqual((body["type"], body["encoding"], body["path"]), ("file", "base64", "docs/a b.txt"))
        self.assertEqual(self.expect(200, self.anyone.get("/repos/acme/rocket/contents/docs/a%20b.txt")), body)
        folder = self.expect(200, self.anyone.get("/repos/acme/rocket/contents/docs"))
        self.assertEqual([(e["type"], e["path"]) for e in folder], [("file", "docs/a b.txt")])
        root = self.expect(200, self.anyone.get("/repos/acme/rocket/contents"))
        self.assertEqual([(e["type"], e["name"]) for e in root], [("file", "README.md"), ("dir", "docs")])
        self.expect(404, self.anyone.get("/repos/acme/rocket/contents/docs/none"))
        self.expect(404, self.anyone.get("/repos/acme/rocket/contents/README.md?ref=nowhere"))

    def test_an_empty_repository(self):
        self.admin("POST", "repos", {"full_name": "acme/empty"})
        body = self.expect(404, self.anyone.get("/repos/acme/empty/contents/README.md"))
        self.assertEqual(body["message"], "This repository is empty.")

    def test_writing_needs_the_sha_that_is_there(self):
        path, new = "/repos/acme/rocket/contents/README.md", base64.b64encode(b"new\n").decode()
        self.expect(422, self.alice.ask("PUT", path, {"message": "m", "content": new}))
        self.expect(409, self.alice.ask("PUT", path, {"message": "m", "content": new, "sha": "0" * 40}))
        sha = self.anyone.get(path).body["sha"]
        self.expect(200, self.alice.ask("PUT", path, {"message": "m", "content": new, "sha": sha}))
        self.assertEqual(base64.b64decode(self.anyone.get(path).body["content"]), b"new\n")


class Limits(ForgeTest):
    def test_headers_count_down_and_304_is_free(self):
        first = self.alice.get(self.issue)
        again = self.alice.get(self.issue)
        self.assertEqual(int(first.headers["X-RateLimit-Remaining"]) - int(again.headers["X-RateLimit-Remaining"]), 1)
        same = self.alice.get(self.issue, **{"If-None-Match": again.headers["ETag"]})
        self.assertEqual((same.status, same.raw), (304, b""))
        self.assertEqual(same.headers["X-RateLimit-Remaining"], again.headers["X-RateLimit-Remaining"])
        self.act("label", issue=1, label="bug")
        self.expect(200, self.alice.get(self.issue, **{"If-None-Match": again.headers["ETag"]}))

    def test_the_primary_limit_and_its_window(self):
        self.admin("PATCH", "limits", {"primary_per_hour": 2})
        for _ in range(2):
            self.expect(200, self.alice.get(self.issue))
        answer = self.alice.get(self.issue)
        self.assertIn("API rate limit exceeded", self.expect(403, answer)["message"])
        self.assertEqual(answer.headers["X-RateLimit-Remaining"], "0")
        self.assertEqual(self.expect(200, self.alice.get("/rate_limit"))["rate"]["remaining"], 0)
        self.admin("POST", "clock", {"advance_s": 3601})
        self.expect(200, self.alice.get(self.issue))

    def test_answers_tell_the_time_of_the_sandboxs_clock(self):
        """Clients judge the ends of windows and tokens by it."""
        before = parse_iso(self.admin("POST", "clock", {"advance_s": 7200})["now"])
        answer = self.alice.get("/rate_limit")
        after = parse_iso(self.admin("POST", "clock", {"advance_s": 0})["now"])
        told = email.utils.parsedate_to_datetime(answer.headers["Date"]).timestamp()
        self.assertTrue(before <= told <= after, (before, told, after))
        self.assertGreater(self.expect(200, answer)["rate"]["reset"], told)

    def test_the_content_limit(self):
        self.admin("PATCH", "limits", {"content_per_minute": 2})
        for _ in range(2):
            self.expect(201, self.alice.post(self.issue + "/comments", {"body": "x"}))
        answer = self.alice.post(self.issue + "/comments", {"body": "x"})
        self.assertIn("secondary rate limit", self.expect(403, answer)["message"])
        self.assertGreater(int(answer.headers["Retry-After"]), 0)
        self.admin("POST", "clock", {"advance_s": 61})
        self.expect(201, self.alice.post(self.issue + "/comments", {"body": "x"}))


if __name__ == "__main__":
    unittest.main()

"""The pieces of `deploy/local/up` that need no programs: issues, the data folder, what is read from logs and topics."""
import argparse
import json
import os
import socket
import sys
import tempfile
import unittest
from datetime import datetime, timezone
from pathlib import Path
from unittest import mock

LOCAL = Path(__file__).resolve().parents[2] / "deploy" / "local"
sys.path[:0] = [str(LOCAL), str(LOCAL / "lib"), str(LOCAL / "kafka")]
import history  # noqa: E402
import people  # noqa: E402
import scenario  # noqa: E402
import screen  # noqa: E402
import services  # noqa: E402
import stack  # noqa: E402
import summary  # noqa: E402
import topic_data  # noqa: E402
import training  # noqa: E402
from folder import Folder  # noqa: E402
from proc import Failed, port_is_free  # noqa: E402
from run_folder import RunFolder  # noqa: E402

NOW = datetime(2026, 11, 1, tzinfo=timezone.utc)
HEAD = "repo,created_at,label,title,body\n"


class InFolder(unittest.TestCase):
    """With a folder of its own."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name)

    def write(self, name: str, text: str) -> Path:
        (self.path / name).write_text(text, encoding="utf-8")
        return self.path / name


class Issues(InFolder):
    """history.py."""

    def test_the_same_seed_gives_the_same_issues(self):
        self.assertEqual(history.generate(50, 7, NOW), history.generate(50, 7, NOW))
        self.assertNotEqual(history.generate(50, 7, NOW), history.generate(50, 8, NOW))

    def test_generated_issues_are_in_order_in_the_past_and_hard_enough(self):
        issues = history.generate(500, 1, NOW)
        self.assertEqual(issues, sorted(issues, key=lambda issue: issue.created))
        self.assertLess(issues[-1].created, NOW)
        self.assertLessEqual({label for issue in issues for label in issue.labels}, set(history.LABELS))
        self.assertTrue(any(not set(issue.labels) & set(history.KINDS) for issue in issues))  # people forget some
        self.assertTrue(all("{" not in issue.title + issue.body for issue in issues))

    def test_what_is_written_can_be_read(self):
        issues = history.generate(20, 3, NOW.replace(microsecond=0))
        issues[3].body = 'a "quoted", text\nover lines'
        path = self.path / "issues.csv"
        history.write_csv(path, issues)
        read = history.read_file(path)
        self.assertEqual([(issue.title, issue.body, issue.labels, issue.created) for issue in read],
                         [(issue.title, issue.body, issue.labels, issue.created) for issue in issues])

    def test_real_files(self):
        rows = HEAD + "Own er/re po,2024-01-02 03:04:05,bug; p1 ;,T,B\nx/y,2023-01-01T00:00:00Z,,,\n"
        lines = "".join(json.dumps({"repo": "x/y", "created_at": "2024-01-02", "label": label, "title": "T"}) + "\n"
                        for label in ("bug;p1", ["bug", "p1"]))
        for text, titles, labels in ((rows, ["(no title)", "T"], [[], ["bug", "p1"]]),
                                     (lines, ["T", "T"], [["bug", "p1"]] * 2)):
            issues = history.read_file(self.write("f", text))
            self.assertEqual([issue.title for issue in issues], titles)
            self.assertEqual([issue.labels for issue in issues], labels)
        self.assertEqual(history.read_file(self.write("f", rows))[1].repository, "acme/re-po")

    def test_complaints_say_where(self):
        many = "".join(f"o/r{number},2024-01-01,a,t,b\n" for number in range(history.REPOSITORIES_MAX + 1))
        for text, words in ((HEAD + "a/b,2024-01-01,a,t,b\na/b,soon,a,t,b\n", "row 2: .*soon"),
                            ("x,y\n1,2\n", "does not name the columns created_at, label, title"),
                            ('{"created_at": "2024-01-01", "title": "t"}\n', "row 1: the column 'label' is missing"),
                            ("{]\n", "row 1"), (HEAD + many, "at most 20")):
            with self.subTest(words), self.assertRaisesRegex(Failed, words):
                history.read_file(self.write("f", text))

    def test_which_labels_exclude_one_another(self):
        self.assertEqual(training.find_exclusive(issues(["a"], ["b"], [])), "*")
        self.assertEqual(training.find_exclusive(issues(["a", "kind/x"], ["b"])), "kind/*")
        self.assertEqual(training.find_exclusive(issues(["a", "b"])), "")

    def test_which_labels_are_learnt(self):
        def choose(past, remembered=None, file=Path("f")):
            memory = dict(remembered or {})
            programs = mock.Mock(options=argparse.Namespace(issues=file))
            programs.folder.memory, programs.folder.remember = memory, lambda **values: memory.update(values)
            return training.choose_labels(programs, past)
        past = issues(*[["a", "b*"]] * 5, *[["rare"]] * 4)
        self.assertEqual(choose(past), ["a"])  # what is rare, or would be a pattern, is not
        self.assertEqual(choose(past, file=None), ["area/*", "kind/*"])
        self.assertEqual(choose(past, {"labels": ["c"]}), ["c"])  # the document in git names them since the first run
        self.assertEqual([training.least_examples(issues(*[["a"]] * count)) for count in (10, 150, 3000)], [5, 10, 30])


def issues(*labels) -> list[history.Issue]:
    return [history.Issue("t", "b", NOW, labels=list(each), meant=list(each)) for each in labels]


class Corrections(unittest.TestCase):
    """people.py: who puts labels right, and how many."""

    def correct(self, past, results, count=4):
        sandbox = mock.Mock()
        sandbox.deliveries_are_done.return_value = True
        with mock.patch.object(people, "published", return_value=0):
            mistakes = people.correct_labels(mock.Mock(sandbox=sandbox), results, past, ["area/*", "plain"], count)
        return mistakes, [(act["do"], act["repository"], act["issue"], act["label"])
                          for act in sandbox.act.call_args.args]

    def test_first_what_nodag_got_wrong_then_what_is_wrong_on_old_issues(self):
        past = issues(["area/a"], ["area/b"], ["area/c"])
        past[1].repository = "acme/other"
        past[2].labels = ["area/x", "other"]
        result = {"repository": "acme/rocket", "number": 9, "labels": ["area/y"], "people_say": ["plain", "other"]}
        self.assertEqual(self.correct(past, [result]),
                         (2, [("unlabel", "acme/rocket", 9, "area/y"), ("label", "acme/rocket", 9, "plain"),
                              ("unlabel", "acme/rocket", 2, "area/x"), ("label", "acme/rocket", 2, "area/c")]))
        self.assertEqual(self.correct(past, [result], count=1), (1, [("unlabel", "acme/rocket", 9, "area/y")]))

    def test_of_real_issues_nobody_knows_what_is_wrong(self):
        self.assertEqual(self.correct(issues(["area/a"], [], ["area/b"]), []),
                         (0, [("unlabel", "acme/rocket", 3, "area/b"), ("label", "acme/rocket", 3, "area/b"),
                              ("unlabel", "acme/rocket", 1, "area/a"), ("label", "acme/rocket", 1, "area/a")]))


class Runs(InFolder):
    """run_folder.py and training.py, without a run."""

    def test_whether_runs_can_be_kept_apart(self):
        for text, why in (("exit 0", ""), ("echo 'nodag-train-run: no namespaces' >&2; exit 1", "no namespaces"),
                          ("exit 3", "`nodag-train-run --check` ended with status 3")):
            program = self.write("program", f'#!/bin/sh\n[ "$1" = --check ] && {{ {text}; }}\n')
            program.chmod(0o755)
            self.assertEqual(RunFolder(self.path, lambda name: program).why_not(), why)

    def test_the_step_of_a_run(self):
        folder = RunFolder(self.path, lambda name: Path("/bin/false"))
        self.assertEqual((folder.step("m-1"), folder.under_way()), ("", []))
        (self.path / "m-1").mkdir()
        self.write("m-1/state.json", '{"step": "notebook", "pid": 1}')
        self.assertEqual(folder.step("m-1"), "notebook")
        self.assertLess(folder.step_s("m-1"), 60)

    def test_a_report_is_a_link_that_browsers_know(self):
        stored = self.write("0123abcd", "<html>")
        programs = mock.Mock()
        programs.folder.make.return_value = self.path
        run = {"run": "m-1", "artefacts": {"html": {"uri": f"file://{stored}"}}}
        for _ in range(2):
            self.assertEqual(training.link_report(programs, run), f"file://{self.path}/m-1.html")
        self.assertEqual((self.path / "m-1.html").read_text(), "<html>")
        for artefacts in (None, {}, {"html": {"uri": "s3://b/x"}}, {"html": {"uri": f"file://{self.path}/gone"}}):
            self.assertEqual(training.link_report(programs, {"run": "m-2", "artefacts": artefacts}), "")

    def test_versions_on_a_kafka_that_others_use_have_a_name_of_their_own(self):
        self.assertEqual(scenario.name_model(argparse.Namespace(brokers=None)), "labels")
        names = {scenario.name_model(argparse.Namespace(brokers="a:1")) for _ in range(2)}
        self.assertEqual(len(names), 2)
        self.assertTrue(all(name.startswith("labels-") for name in names))


class Folders(InFolder):
    """folder.py."""

    def make(self, **options) -> Folder:
        chosen = {"dir": self.path, "fresh": False, "embedded": False, "github": False, **options}
        folder = Folder(argparse.Namespace(**chosen))
        self.addCleanup(folder.close)
        return folder

    def test_it_remembers_and_keeps_secrets(self):
        first = self.make()
        first.remember(runs=1)
        secret = first.secret("webhook").read_bytes()
        first.close()
        second = self.make()
        self.assertEqual(second.memory, {"runs": 1})
        self.assertEqual(second.secret("webhook").read_bytes(), secret)
        self.assertEqual(os.stat(second.secret("webhook")).st_mode & 0o777, 0o600)

    def test_fresh_and_embedded_start_over(self):
        for options in ({"fresh": True}, {"embedded": True}):
            with self.subTest(options):
                first = self.make(embedded="embedded" in options)
                first.remember(runs=1)
                (first.path / "kafka").mkdir(exist_ok=True)
                first.close()
                second = self.make(**options)
                self.assertEqual(second.memory, {})
                self.assertFalse((second.path / "kafka").exists())
                second.close()

    def test_somebody_elses_folder_is_left_alone(self):
        (self.path / "sandbox").mkdir()
        mine = self.path / "sandbox" / "thesis"
        mine.touch()
        with self.assertRaisesRegex(Failed, "is no data folder"):
            self.make(fresh=True)
        self.assertTrue(mine.exists())

    def test_one_at_a_time(self):
        self.make()
        with self.assertRaisesRegex(Failed, "another `up` runs"):
            self.make()
        self.make(embedded=True)  # another folder

    def test_data_of_something_else_is_refused(self):
        folder = self.make()
        folder.insist(kafka="a:1")
        folder.insist(kafka="a:1")
        with self.assertRaisesRegex(Failed, "another kafka.*a:1, now b:2"):
            folder.insist(kafka="b:2")

    def test_damage_is_named(self):
        folder = self.make()
        (folder.path / "stack.json").write_text("{", encoding="utf-8")
        folder.close()
        with self.assertRaisesRegex(Failed, "damaged; start over with --fresh"):
            self.make()

    def test_a_port_stays_unless_it_is_taken(self):
        folder = self.make()
        port = folder.port("door")
        self.assertEqual(folder.port("door"), port)
        with socket.create_server(("127.0.0.1", port)):
            other = folder.port("door")
        self.assertNotEqual(other, port)
        self.assertTrue(port_is_free(other))


class Reading(InFolder):
    """What is read from topics, logs, metrics and evaluations."""

    def test_the_newest_event_of_an_issue_counts(self):
        def record(key, updated, labels, repository=5, created="2026-10-01T00:00:00Z"):
            payload = {"repository": {"id": repository, "full_name": "acme/rocket"},
                       "issue": {"title": key, "body": None, "created_at": created, "updated_at": updated,
                                 "user": {"login": "ann"}, "labels": [{"name": name} for name in labels]}}
            return json.dumps({"key": key, "value": json.dumps(payload)})
        records = [record("5#1", "2026-10-01T00:00:00Z", ["a", "b"]), record("5#1", "2026-10-01T00:00:00Z", ["a"]),
                   record("5#2", "2026-10-02T00:00:00Z", []), record("5#2", "2026-10-01T00:00:00Z", ["a"]),
                   record("6#1", "2026-10-01T00:00:00Z", ["a"], repository=6),
                   record("5#3", "2026-11-02T00:00:00Z", ["a"], created="2026-11-02T00:00:00Z")]
        programs = mock.Mock()
        programs.command.return_value = "\n".join(records) + "\n"
        programs.kafka_options.return_value = []
        issues = topic_data.read_issues(programs, {5}, "2026-11-01T00:00:00Z")
        self.assertEqual([(issue.title, issue.labels, issue.body) for issue in issues],
                         [("5#1", ["a", "b"], ""), ("5#2", [], "")])

    def test_pipes_of_decisions_and_runs(self):
        reader, writer = os.pipe()
        other, other_writer = os.pipe()
        self.addCleanup(os.close, reader)
        self.addCleanup(os.close, other)
        line = json.dumps({"value": json.dumps({"number": 1})}).encode() + b"\n"
        with mock.patch.object(topic_data, "FOLLOW_S", 0.01):
            lines = topic_data.read_lines({reader: "predictions", other: "runs"})
            self.assertEqual(next(lines), ("", None))
            os.write(writer, line + line[:10])
            self.assertEqual(next(lines), ("predictions", {"number": 1}))
            self.assertEqual(next(lines), ("", None))
            os.write(writer, line[10:])
            self.assertEqual(next(lines), ("predictions", {"number": 1}))
            os.close(writer)
            self.assertEqual([next(lines), next(lines)], [("", None)] * 2)
            os.write(other_writer, line)
            self.assertIn(("runs", {"number": 1}), [next(lines), next(lines)])
            os.close(other_writer)
            self.assertEqual([next(lines), next(lines), next(lines)], [("", None)] * 3)

    def test_complaints_of_a_log(self):
        log = self.write("log", '{"level":"info","message":"starting"}\n'
                                '{"level":"error","message":"cannot start","reason":"no port"}\n'
                                'linker: no such library\n')
        self.assertEqual(services.complaints(log), ["cannot start: no port", "linker: no such library"])
        self.assertEqual(services.explain(log).splitlines(),
                         ["", "  cannot start: no port", "  linker: no such library", f"  all of it: {log}"])
        self.assertEqual(services.complaints(self.path / "none"), [])

    def test_what_must_not_be(self):
        good = {"issues": [{"labels": ["a"], "comments": 1}, {"labels": [], "comments": 0}], "issues_labelled": 1,
                "deliveries": {"refused": 0}, "labels_created": 0, "no_training": "no sandbox", "runs": [], "models": []}
        self.assertEqual(summary.find_faults(good), [])
        for change, words in (({"issues_labelled": 0}, "no new issue"), ({"labels_created": 2}, "made 2 labels"),
                              ({"deliveries": {"refused": 3}}, "refused 3"),
                              ({"issues": [{"labels": ["a"], "comments": 2}]}, "more than one comment"),
                              ({"issues": [{"labels": ["a"], "comments": 0}]}, "has no comment"),
                              ({"issues": [{"labels": ["a", "a"], "comments": 1}]}, "put on twice")):
            with self.subTest(words):
                self.assertRegex("; ".join(summary.find_faults({**good, **change})), words)

    def test_what_must_not_be_of_training(self):
        run = {"name": "m-1", "state": "SUCCEEDED", "reason": "", "html": "/r.html", "earlier": False}
        failed = {**run, "name": "m-2", "state": "FAILED", "reason": "a cell failed"}
        first = {"version": "m-0", "metrics": {"f1_macro": 0.9}, "snapshot": "ab", "commit": "cd"}
        second, issue = {**first, "version": "m-1"}, {"labels": ["a"], "comments": 1, "model": "m-1"}
        good = {"issues": [issue], "issues_labelled": 1, "deliveries": {"refused": 0}, "labels_created": 0,
                "no_training": None, "runs": [run], "models": [first, second]}
        for change, fault in (
                ({}, None), ({"runs": [run, {**failed, "earlier": True}]}, None),
                ({"runs": [run, {**failed, "state": "CANCELLED", "html": ""}]}, None),
                ({"runs": [run, failed]}, "the run m-2 failed: a cell failed"),
                ({"runs": [{**run, "html": ""}]}, "the run m-1 has no report"),
                ({"runs": [{**run, "name": "m-2"}]}, "the run m-2 made no version"),
                ({"models": [second]}, "1 versions of the model stand, not 2"),
                ({"models": [{**first, "metrics": {}}, second]}, "the version m-0 lacks metrics"),
                ({"models": [{**first, "snapshot": ""}, second]}, "the version m-0 lacks snapshot"),
                ({"models": [{**first, "commit": ""}, second]}, "the version m-0 lacks commit"),
                ({"issues": [{**issue, "model": "0123"}]}, "an issue was labelled by what is no version")):
            with self.subTest(fault):
                self.assertEqual(summary.find_faults({**good, **change}), [fault] if fault else [])

    def test_what_the_labeler_took_last(self):
        (self.path / "logs").mkdir()
        log = self.write("logs/labeler.log", '{"message":"starting"}\nnot JSON\n')
        programs = mock.Mock(folder=mock.Mock(logs=self.path / "logs"))
        self.assertFalse(services.Services.labels_with(programs, "m-1"))
        for version in ("m-1", "m-2"):
            log.write_text(log.read_text() + json.dumps({"message": services.IN_FORCE, "version": version}) + "\n")
        self.assertTrue(services.Services.labels_with(programs, "m-2"))
        self.assertFalse(services.Services.labels_with(programs, "m-1"))

    def test_text_in_one_line(self):
        self.assertEqual(screen.cut("a\n b  c", 10), "a b c")
        self.assertEqual(screen.cut("abcdefgh", 4), "abc…")


class CommandLine(InFolder):
    """Options that make no sense are refused before anything is done."""

    def test_refused(self):
        document = str(self.write("d", "x"))
        github = ["--github", "--webhook-secret-file", document, "--scope", "*", "--specs", document]
        for arguments, words in ((["--new", "0"], "must be 1 to"), (["--history", "1"], "must be 50 to"),
                                 (["--issues", "none"], "no such file"), (["--summary", "no/such"], "no such folder"),
                                 (["--brokers", "a:1", "--embedded"], "not allowed with"), (github, "needs either"),
                                 ([*github, "--forge-token-file", "none"], "no such file"),
                                 (["--github", "--forge-token-file", document], "needs --webhook-secret-file")):
            with self.subTest(words), mock.patch("sys.stderr") as errors, self.assertRaises(SystemExit) as ended:
                stack.parse_options(arguments)
            self.assertEqual(ended.exception.code, 2)
            self.assertRegex("".join(str(call.args[0]) for call in errors.write.call_args_list), words)

    def test_accepted(self):
        document = str(self.write("d", "x"))
        stack.parse_options(["--once", "--fresh", "--embedded", "--summary", str(self.path / "s.json")])
        stack.parse_options(["--github", "--webhook-secret-file", document, "--scope", "*", "--specs", document,
                             "--forge-app-id", "1", "--forge-app-key-file", document])


if __name__ == "__main__":
    unittest.main()

"""Nothing in the tree names a package registry or a folder of somebody's machine.

A registry's address belongs to the machine that builds (its Maven, npm, pip or apt settings): written here it would
pass by mirrors and proxies, and lock files with addresses are the usual way in. Absolute paths below the folders where
people work hold on one machine only. Patterns describe what such names look like; no real one is written here.
"""
import re

from tree import Finding, Outcome, Tree

NAME = "places"
WHAT = "no registry's address, no path of somebody's machine"

# A host of which one dot-separated part is a word for a package registry, a mirror or a proxy.
HOST_WORDS = (r"registry\w*|\w*registry|repo\d*|repository|mirrors?|proxy|goproxy|artifactory|nexus|"
              r"npmjs|py(?:pi|thonhosted)|rubygems|crates|deb|archive")
REGISTRY = re.compile(rf"\bhttps?://(?:[\w-]+[.-])*(?:{HOST_WORDS})(?:[.-][\w-]+)*\.[a-z]{{2,}}(?![\w.-])",
                      re.IGNORECASE)
MACHINE_PATH = re.compile(r"(?<![\w.$}{~)/-])/(?:home|root|Users|work|mnt|media|scratch)/[\w.-]+")
ENDINGS_OF_DATA = (".png", ".jpg", ".svg", ".gz", ".zip", ".bin")
FOUND_DATA = ("tests/cases/", "tests/fuzz/corpus/")  # real payloads say what they say


def check(tree: Tree) -> Outcome:
    outcome = Outcome()
    paths = [path for path in tree.paths if not path.endswith(ENDINGS_OF_DATA) and not path.startswith(FOUND_DATA)
             and path != "tests/check/places.py"]
    for path in paths:
        for number, line in enumerate(tree.text(path).splitlines(), 1):
            found = REGISTRY.search(line)
            if found:
                outcome.findings.append(Finding(path, number, f"'{found.group()}' looks like a package registry: leave "
                                                "it to the settings of the machine"))
            found = MACHINE_PATH.search(line)
            if found:
                outcome.findings.append(Finding(path, number, f"'{found.group()}' is a path of one machine: take it "
                                                "from an option, an environment variable or the file's own place"))
    outcome.summary = f"{len(paths)} files"
    return outcome


SAMPLES = [
    ({"a.lock": '"resolved": "https://registry.example.org/pkg.tgz"\n'}, "looks like a package registry"),
    ({"a.xml": "<url>https://repo1.builds.example.org/maven2</url>\n"}, "looks like a package registry"),
    ({"a.env": "GOPROXY=https://proxy.example.org\n"}, "looks like a package registry"),
    ({"a.txt": "see http://mirror.example.net/debian\n"}, "looks like a package registry"),
    ({"a.txt": "at /home/somebody/project\n"}, "is a path of one machine"),
    ({"a.sh": "cd /work/project\n"}, "is a path of one machine"),
]
GOOD = {"a.md": "https://github.com/owner/repository and https://api.example.org/repos/x, https://docs.example.org, "
                "$HOME/work/x, ../work/y, http://127.0.0.1:8080/home/x, /orgs/[name=x], ~/.cache, /usr/bin\n"}

"""The checks can fail: each refuses every one of its bad samples with the words it promises, and passes its good one.

A check without samples fails here, so that a new one cannot be written without them.
"""
from tree import Finding, Outcome, Tree

NAME = "selftest"
WHAT = "each check refuses its bad samples and passes its good one"


def check_all(checks: list) -> Outcome:
    outcome = Outcome()
    count = 0
    for module in checks:
        path = f"tests/check/{module.NAME}.py"
        samples, good = getattr(module, "SAMPLES", []), getattr(module, "GOOD", None)
        if not samples or good is None:
            outcome.findings.append(Finding(path, 1, "has no SAMPLES or no GOOD: show what it refuses and what passes"))
        for number, (files, words) in enumerate(samples):
            found = module.check(Tree(None, files))
            if found.skipped:
                break
            count += 1
            hard = [finding for finding in found.findings if not finding.warning]
            if not any(words in str(finding) for finding in hard):
                outcome.findings.append(Finding(path, 1, f"sample {number} ({', '.join(files)}) should be refused with "
                                                f"'{words}', got: {[str(finding) for finding in hard] or 'nothing'}"))
        found = module.check(Tree(None, good)) if good is not None else Outcome()
        count += 1
        outcome.findings += [Finding(path, 1, f"refuses its good sample: {finding}") for finding in found.findings]
    outcome.summary = f"{count} samples for {len(checks)} checks"
    return outcome

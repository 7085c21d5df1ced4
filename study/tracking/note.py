"""The description on a run's page: one part of it is ours, and what a user wrote before and after it is kept.

Our part is enclosed by two HTML comments, which MLflow's pages do not show. Both contain the digest of the text between them. If
one was deleted, or something was written in between, the digest and the form of our lines show which lines are ours.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable

from mlflow import MlflowClient
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NOTE
from mlflow.utils.validation import MAX_TAG_VAL_LENGTH

BEGIN = re.compile(r"\s*<!-- hidden-orbits ([0-9a-f]{12}): what follows is written anew by each analysis -->\s*")
END = re.compile(r"\s*<!-- hidden-orbits ([0-9a-f]{12}): end -->\s*")
# The lines of a description, as every version of this project has written it.
FIRST = re.compile(r"A study of \d+ networks, in training\.|\*\*\d+ of \d+ networks\*\* measured.*\.")
TABLE = "| claim | hidden size | estimate | verdict |"
OURS = re.compile(
    "|".join(
        (
            FIRST.pattern,
            r"\[Table of networks\]\(#/experiments/.*",
            r"!\[\w+\]\(get-artifact\?path=.*\)",
            r"Over (all|the) hidden sizes\b[^:]*: \w+ .*\.",
            re.escape(TABLE),
            r"\| \w+: .* \| \d+ \| .* \| \*\*[a-z ]+\*\* \|",
            r"Missing:",
            r"\*\*To be read with caution:\*\* .*",
            r"- H&#61;\d+ seed&#61;\d+.*",
            r"- \w+, .*&#58; not judged.*",
            r"\(.* left out here: .*\)",
            r"\(\d+ networks are missing; report\.pdf lists them\)",
        )
    )
)


def write(client: MlflowClient, run_id: str, ours: Callable[[int], str]) -> None:
    """Sets our part of a run's description, and keeps the rest.

    `ours` makes it, given the greatest number of characters. If the user's text leaves no room for it, nothing is changed.
    """
    before, after = theirs(client.get_run(run_id).data.tags.get(MLFLOW_RUN_NOTE, ""))
    room = MAX_TAG_VAL_LENGTH - len(_joined(before, _marked(""), after))
    text = ours(room).strip() if room > 0 else ""
    if text and len(text) <= room:
        client.set_tag(run_id, MLFLOW_RUN_NOTE, _joined(before, _marked(text), after))


def theirs(note: str) -> tuple[str, str]:
    """The user's text before and after our part of a description."""
    lines = note.split("\n")
    before: list[str] = []
    after: list[str] = []
    seen_ours = False
    while lines:
        line = lines.pop(0)
        if begin := BEGIN.fullmatch(line):
            length = next((n for n, other in enumerate(lines) if BEGIN.fullmatch(other) or END.fullmatch(other)), len(lines))
            inside, lines = lines[:length], lines[length:]
            if lines and END.fullmatch(lines[0]):
                lines.pop(0)
            ends = range(len(inside), -1, -1)
            ours = next((end for end in ends if _digest(inside[:end]) == begin[1]), None)
            after += _unlike_ours(inside) if ours is None else inside[ours:]
        elif end := END.fullmatch(line):  # its beginning was deleted
            text = after if seen_ours else before
            ours = next((start for start in range(len(text) + 1) if _digest(text[start:]) == end[1]), None)
            text[:] = _unlike_ours(text) if ours is None else text[:ours]
        elif not seen_ours and FIRST.fullmatch(line.strip()) and not any(END.fullmatch(other) for other in lines):
            # Written before there were marks, or both marks are lost.
            length = next((n for n, other in enumerate(lines) if BEGIN.fullmatch(other)), len(lines))
            after += _unlike_ours([line, *lines[:length]])
            lines = lines[length:]
        else:
            (after if seen_ours else before).append(line)
            continue
        seen_ours = True
    return "\n".join(before).strip("\r\n"), "\n".join(after).strip("\r\n")


def _unlike_ours(lines: list[str]) -> list[str]:
    """The lines without those that look like ours, starting at our first line."""
    first = next((n for n, line in enumerate(lines) if FIRST.fullmatch(line.strip())), len(lines))
    kept, before = lines[:first], ""
    for line in lines[first:]:
        ours = OURS.fullmatch(line.strip()) or (before == TABLE and line.startswith("|-"))
        if not ours and (line.strip() or (kept and kept[-1].strip())):
            kept.append(line)
        before = line.strip()
    return kept


def _marked(text: str) -> str:
    digest = _digest(text.splitlines())
    return (
        f"<!-- hidden-orbits {digest}: what follows is written anew by each analysis -->\n\n{text}\n\n"
        f"<!-- hidden-orbits {digest}: end -->"
    )


def _digest(lines: list[str]) -> str:
    text = "\n".join(line.rstrip() for line in lines).strip()
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _joined(*parts: str) -> str:
    return "\n\n".join(part for part in parts if part)

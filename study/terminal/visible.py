"""Text that came from outside, such as a run's name, made so that a reader sees what it holds."""

from __future__ import annotations

import unicodedata
from collections.abc import Container
from itertools import groupby


def visible(text: str, most: int = 200, drawn: Container[str] | None = None) -> str:
    """A text in one line, cut after `most` characters, with the code points of what would not be seen in place of it: ``[U+202E]``.

    That is what nothing is drawn for, or what reorders its neighbours (control, format, private and unassigned characters, lone
    surrogates), and all that is not in `drawn`, where only some characters can be. After a text that was cut stands its length.
    """

    def hidden(character: str) -> bool:
        return unicodedata.category(character).startswith("C") or (drawn is not None and character not in drawn)

    line = " ".join(unicodedata.normalize("NFC", text).split())
    parts = ((unseen, list(characters)) for unseen, characters in groupby(line, hidden))
    seen = "".join(
        f"[{' '.join(f'U+{ord(c):04X}' for c in characters)}]" if unseen else "".join(characters) for unseen, characters in parts
    )
    return seen if len(seen) <= most else f"{seen[:most].rstrip()}… ({len(text):,} characters)"

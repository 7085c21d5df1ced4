"""Makes foreign text, such as a run's name, safe to show: a reader sees every character in it."""

from __future__ import annotations

import unicodedata
from collections.abc import Container
from itertools import groupby


def visible(text: str, most: int = 200, drawn: Container[str] | None = None) -> str:
    """A text in one line, cut after `most` characters, with invisible characters replaced by their code points: ``[U+202E]``.

    Invisible are characters that are not drawn or that reorder their neighbours (control, format, private and unassigned
    characters, lone surrogates), and characters that are not in `drawn`, if given. A text that was cut is followed by its length.
    """

    def hidden(character: str) -> bool:
        return unicodedata.category(character).startswith("C") or (drawn is not None and character not in drawn)

    line = " ".join(unicodedata.normalize("NFC", text).split())
    parts = ((unseen, list(characters)) for unseen, characters in groupby(line, hidden))
    seen = "".join(
        f"[{' '.join(f'U+{ord(c):04X}' for c in characters)}]" if unseen else "".join(characters) for unseen, characters in parts
    )
    return seen if len(seen) <= most else f"{seen[:most].rstrip()}… ({len(text):,} characters)"

"""Makes text typesettable: typst stops at a character for which no font has a glyph."""

from __future__ import annotations

import unicodedata
from typing import Any

from matplotlib.ft2font import FT2Font

from reports.figures.style import FONTS
from study.terminal.visible import visible

PARAGRAPH = 4000  # characters at most, so that no foreign text can fill a document


def _drawn() -> frozenset[str]:
    """The letters, numbers, punctuation marks and symbols of the shipped font, and the space.

    Combining marks are left out: they can be stacked, and normalisation merges those in common use into letters.
    """
    glyphs = (set(FT2Font(str(font)).get_charmap()) for font in sorted(FONTS.glob("*.ttf")))
    characters = map(chr, set.intersection(*glyphs))
    return frozenset(character for character in characters if unicodedata.category(character)[0] in "LNPS") | {" "}


DRAWN = _drawn()  # where typst's own fonts lack one of these, it falls back on the shipped font


def shown(text: str, most: int = 200) -> str:
    """Text in one line, cut after `most` characters; characters that cannot be drawn or seen are shown by their code points."""
    return visible(text, most, DRAWN)


def typesettable(content: Any) -> Any:
    """The content of a document (plain JSON) with all its text made typesettable, whoever wrote it."""
    match content:
        case str():
            return shown(content, PARAGRAPH)
        case dict():
            return {name: typesettable(value) for name, value in content.items()}
        case list() | tuple():
            return [typesettable(value) for value in content]
    return content

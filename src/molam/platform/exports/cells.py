"""What stands in the columns of an exported table, and what must not."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from molam.platform.web.l10n import Language

Kind = Literal["text", "amount", "number", "moment", "day"]

# What spreadsheets skip before they look for a formula, and what begins one; the wide
# forms are what some of them make of the plain ones.
_BLANK = "\t-\r\x1c- \x85\xa0\u1680\u2000-\u200f\u2028\u2029\u202f\u205f\u3000\ufeff"
_FORMULA = re.compile(rf"[\t\r\n]|[{_BLANK}]*[=+\-@\uff1d\uff0b\uff0d\uff20]")
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffe\uffff\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its kind, and what it is called in each language."""

    kind: Kind
    en: str
    fr: str
    printed: bool = True
    """Whether it is also in documents, whose pages are only so wide."""

    def title(self, language: Language) -> str:
        return self.fr if language == "fr" else self.en


def titles(columns: tuple[Column, ...], language: Language) -> list[str]:
    return [each.title(language) for each in columns]


def neutral(text: str) -> str:
    """
    Write *text* so that no spreadsheet takes it for a formula.

    The same as platform.export_text, which does it where rows never come to Python.
    """
    return f"'{text}" if _FORMULA.match(text) else text


def printable(text: str) -> str:
    """Leave out what no XML document may hold."""
    return _CONTROLS.sub("\ufffd", text)


def as_written(text: str) -> str:
    """Take back what `neutral` did, for documents that nothing calculates in."""
    return text[1:] if text[:1] == "'" and neutral(text[1:]) == text else text

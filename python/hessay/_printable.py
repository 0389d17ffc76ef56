"""Text from outside, made harmless for a terminal. Imports nothing that could be broken."""

from __future__ import annotations

import os
import shlex

# What spreadsheets begin a formula with, and the same in full width.
_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")


def printable(text: str) -> str:
    r"""Spell out every character that a terminal or a reader could be fooled by.

    Control characters, bidirectional marks, lone surrogates and the like become ``\x1b``,
    ``\u202e``, ...; everything else is kept.

    Examples
    --------
    >>> print(printable("a\x1b[31mb"))
    a\x1b[31mb
    """
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text
    )


def spreadsheet_cell(text: str) -> str:
    r"""Write text so that no spreadsheet takes it for a formula.

    Control characters are spelled out first: a carriage return would begin a row of its own. What
    then begins like a formula gets an apostrophe before it, as a spreadsheet marks text. Numbers
    are no text: write those as they are.

    Source: OWASP, "CSV injection"; the wide forms are taken for their narrow ones in East Asian
    versions.

    Examples
    --------
    >>> print(spreadsheet_cell("=1+1"), spreadsheet_cell("a=b"), spreadsheet_cell("\t@x"))
    '=1+1 a=b \t@x
    """
    shown = printable(text)
    return f"'{shown}" if shown.lstrip().startswith(_FORMULA) else shown


def shell_word(text: str) -> str:
    r"""Quote for a shell, with ``$'...'`` where plain quotes would print control characters.

    Examples
    --------
    >>> print(shell_word("my model.safetensors"), shell_word("a\x1bb"))
    'my model.safetensors' $'a\x1bb'
    """
    if text.isprintable():
        return shlex.quote(text)
    escaped = "".join(
        chr(byte) if 0x20 <= byte < 0x7F and byte not in b"\\'" else f"\\x{byte:02x}"
        for byte in os.fsencode(text)
    )
    # A hex digit after \xNN is not swallowed: bash takes at most two.
    return f"$'{escaped}'"

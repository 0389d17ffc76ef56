"""Text from a hostile file, made fit for an error message."""

from __future__ import annotations


def shown(text: object, limit: int = 80) -> str:
    r"""Give ``str(text)`` on one line: control characters escaped, cut to ``limit`` characters.

    A name in a file may hold a megabyte, or the escape codes that rewrite a terminal.

    Examples
    --------
    >>> shown("os\x1b[2J.system\n")
    'os\\x1b[2J.system\\n'
    >>> shown("x" * 100, limit=4)
    'xxxx...'
    """
    start = str(text)[: limit + 1]
    safe = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in start)
    return safe if len(safe) <= limit else safe[:limit] + "..."

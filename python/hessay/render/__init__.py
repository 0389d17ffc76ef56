"""A report for people: plain text, a terminal panel, one self-contained HTML page.

Everything that comes from outside (file names, notes, labels) is made harmless first: control and
bidirectional characters are spelled out, HTML is escaped. rich and jinja2 (extra ``cli``) are only
imported by the function that needs them; ``text`` needs neither.
"""

from hessay._printable import printable
from hessay.render.files import write
from hessay.render.page import html
from hessay.render.terminal import panel, text
from hessay.render.wording import headline, repeat_command

__all__ = ["headline", "html", "panel", "printable", "repeat_command", "text", "write"]

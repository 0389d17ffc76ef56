"""The templates of the pages: everything that comes from outside is spelled out, then escaped."""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING, Any

from hessay._printable import printable
from hessay.errors import ArgumentError
from hessay.render import wording

if TYPE_CHECKING:
    from jinja2 import Template

# No script, no request, no form, no other base for links: style and pictures are in the page.
POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
    "form-action 'none'"
)


def template(name: str) -> Template:
    """Get a template of ``hessay/render/templates``.

    Raises
    ------
    ArgumentError
        jinja2 is missing.
    """
    try:
        import jinja2
        import markupsafe
    except ImportError:
        raise ArgumentError(
            "an HTML report needs jinja2, which is not installed; pip install 'hessay[cli]'"
        ) from None

    def harmless(value: Any) -> Any:
        # Drawings are escaped where they are made; everything else is spelled out, then escaped.
        plain = isinstance(value, str) and not isinstance(value, markupsafe.Markup)
        return printable(value) if plain else value

    def source(file: str) -> str:
        return resources.files("hessay.render").joinpath("templates", file).read_text("utf-8")

    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(source),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=harmless,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": wording.number,
        "percent": wording.percent,
        "unit": wording.pretty_unit,
        "sentence": wording.sentence,
        "drawing": markupsafe.Markup,  # only for what hessay.render.svg made
    }
    environment.globals["policy"] = POLICY
    return environment.get_template(name)

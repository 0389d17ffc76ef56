"""The pages can be read: contrast in both modes, by the formula; laid out and silent, in a browser."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import pytest

import page_case
from browser import BROWSER, MISSING, Browser, browser
from hessay import render

STYLE = resources.files("hessay.render").joinpath("templates/style.css").read_text("utf-8")
TEXT = ("ink", "soft", "hot", "clean", "flagged", "inconclusive")
MARKS = ("dot", "hot", "soft")
with_browser = pytest.mark.skipif(BROWSER is None, reason=MISSING)


def colours(mode: str) -> dict[str, tuple[int, int, int]]:
    light, dark = re.findall(r":root \{(.*?)\}", STYLE, flags=re.DOTALL)
    text = light if mode == "light" else light + dark
    found = re.findall(r"--(\w+): #([0-9a-f]{6})", text)
    return {name: tuple(bytes.fromhex(code)) for name, code in found}  # type: ignore[misc]


def luminance(colour: tuple[int, int, int]) -> float:
    """Relative luminance, WCAG 2.2."""
    parts = [c / 255 for c in colour]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: tuple[int, int, int], other: tuple[int, int, int]) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_the_formula_of_contrast_gives_what_the_standard_says() -> None:
    assert contrast((0, 0, 0), (255, 255, 255)) == pytest.approx(21.0)
    # The lightest grey on white that passes, as the standard's examples have it.
    assert contrast((0x76, 0x76, 0x76), (255, 255, 255)) == pytest.approx(4.54, abs=0.01)


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_text_and_marks_stand_out_from_every_ground(mode: str) -> None:
    own = colours(mode)
    grounds = [own["paper"], own["card"]]
    for name in TEXT:
        for ground in grounds:
            assert contrast(own[name], ground) >= 4.5, name
    assert contrast(own["ink"], own["bulk"]) >= 4.5
    # Shapes that carry meaning: 3 (WCAG 2.2, 1.4.11), also on the bulk, hatched at 16 %.
    hatched = tuple(
        round(0.84 * b + 0.16 * d) for b, d in zip(own["bulk"], own["dot"], strict=True)
    )
    for name in MARKS:
        for ground in (own["card"], own["bulk"], hatched):
            assert contrast(own[name], ground) >= 3.0, name  # type: ignore[arg-type]


def test_both_modes_name_the_same_colours_and_every_one_used() -> None:
    assert colours("light").keys() == colours("dark").keys()
    used = set(re.findall(r"var\(--(\w+)\)", STYLE)) - {"tone"}
    assert used == set(colours("light"))


def test_the_style_asks_for_nothing_and_prints_light() -> None:
    assert not re.search(r"url\(|@import|@font-face|expression", STYLE)
    # Only screens are dark: paper keeps the colours of :root.
    assert re.findall(r"@media ([^{]*color-scheme[^{]*)\{", STYLE) == [
        "screen and (prefers-color-scheme: dark) "
    ]


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("browser")) as opened:
        yield opened


@with_browser
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("kind", page_case.KINDS)
def test_a_phone_scrolls_down_only_and_nothing_is_asked_or_complained_of(
    kind: str, dark: bool, window: Browser, tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    source = render.html(page_case.KINDS[kind]())
    # Folded numbers are part of the page.
    page.write_text(source.replace("<details>", "<details open>"), "utf-8")
    for width in (320, 390, 1280):
        window.show(page, width=width, dark=dark)
        assert window.value("document.documentElement.scrollWidth") <= width
        assert window.value("innerWidth") == width
        hidden = "narrow" if width > 720 else "wide"
        shown = (
            f"[...document.querySelectorAll('.{hidden}')].filter(e => e.checkVisibility()).length"
        )
        assert window.value(shown) == 0
        # Not a single element reaches out of the window, seen or not.
        reach = "Math.max(...[...document.querySelectorAll('main *')].map(e => e.getBoundingClientRect().right))"
        assert window.value(reach) <= width
        assert window.complaints() == []
        assert window.requests() == [page.as_uri()]
    paper = window.value("getComputedStyle(document.body).backgroundColor")
    assert paper == f"rgb{colours('dark' if dark else 'light')['paper']}"


@with_browser
def test_a_page_that_breaks_its_policy_would_be_seen(window: Browser, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    good = render.html(page_case.grey())
    page.write_text(good.replace("</main>", "<script>document.title = 1</script></main>"), "utf-8")
    window.show(page, width=390)
    assert any("Content Security Policy" in said for said in window.complaints())
    assert "FLAGGED" in window.value("document.title")
    page.write_text(good.replace("</main>", '<p style="width: 500px">x</p></main>'), "utf-8")
    window.show(page, width=390)
    assert window.value("document.documentElement.scrollWidth") > 390


@with_browser
def test_who_does_not_see_the_page_is_told_what_is_on_it(window: Browser, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(render.html(page_case.colour()), "utf-8")
    window.show(page, width=1280)
    tree = window.call("Accessibility.getFullAXTree")["nodes"]
    nodes = [n for n in tree if not n.get("ignored")]
    roles = [n["role"]["value"] for n in nodes]
    assert roles.count("main") == 1
    named = [n["name"]["value"] for n in nodes if n["role"]["value"] == "image"]
    # Each drawing once (the other width is hidden), each picture once.
    assert sum("eigenvalues, largest" in words for words in named) == 1
    assert sum("bar chart of 10 classes" in words for words in named) == 1
    assert sum("colour scale from" in words for words in named) == 1
    assert sum("the push laid over the average input" in words for words in named) == 1
    assert all(words.strip() for words in named)
    levels = window.value("[...document.querySelectorAll('h1,h2,h3')].map(e => +e.tagName[1])")
    assert levels[0] == 1
    assert all(b <= a + 1 for a, b in itertools.pairwise(levels))
    # What can be opened can be reached by the keyboard, and shows that it was.
    window.call("Input.dispatchKeyEvent", type="keyDown", key="Tab", code="Tab")
    assert window.value("document.activeElement.tagName") == "SUMMARY"
    assert window.value("getComputedStyle(document.activeElement).outlineWidth") == "3px"


@with_browser
def test_paper_is_light_has_the_wide_drawings_and_the_folded_numbers(
    window: Browser, tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    page.write_text(render.html(page_case.grey()), "utf-8")
    window.show(page, width=718, dark=True)  # px of A4 within margins
    scheme = {"name": "prefers-color-scheme", "value": "dark"}
    window.call("Emulation.setEmulatedMedia", media="print", features=[scheme])
    assert window.value("getComputedStyle(document.querySelector('.narrow')).display") == "none"
    ink = window.value("getComputedStyle(document.querySelector('.headline')).color")
    assert ink == f"rgb{colours('light')['ink']}"
    folded = "document.querySelector('details table').checkVisibility()"
    assert window.value(folded)
    assert window.value("document.documentElement.scrollWidth") <= 718
    assert window.pdf().startswith(b"%PDF-")

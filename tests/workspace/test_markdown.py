"""What a model's Markdown becomes: what is meant to work, what must not get through, and how large it may become."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifelearn.workspace.rendering import markdown
from lifelearn.workspace.rendering.markdown import (
    _SAFE,
    BESIDE,
    CODE_CHARS,
    MATHS_MOST,
    TIMES,
    TooLargeError,
    render_markdown,
)
from lifelearn.workspace.rendering.renderer import MARKDOWN_CHARS, RENDERER, SECONDS, Renderer
from waiting import HANG_SECONDS
from workspace.xss import VECTORS, problems_in


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("**bold** and *it* and ~~gone~~", "<strong>bold</strong> and <em>it</em> and <s>gone</s>"),
        ("# Top\n\n##### Low", "<h3>Top</h3>\n<h6>Low</h6>"),
        ("a\n\n- b\n- c", "<ul>\n<li>b</li>\n<li>c</li>\n</ul>"),
        ("3. x", '<ol start="3">'),
        ("`x < 1`", "<code>x &lt; 1</code>"),
        ("```python\nreturn 1\n```", '<code class="language-python"><span class="k">return</span>'),
        ("```py3 title\nx\n```", '<pre tabindex="0"><code>x\n</code></pre>'),
        ("    indented", "<code>indented\n</code>"),
        ("|a|b|\n|-|-:|\n|1|2|", '<th scope="col" class="text-right">b</th>'),
        ("|a|b|\n|-|:-:|\n|1|2|", '<td class="text-center">2</td>'),
        ("see https://example.org/a?b=1.", 'href="https://example.org/a?b=1" target="_blank" rel="noopener noreferrer'),
        ("<b>raw</b>", "&lt;b&gt;raw&lt;/b&gt;"),
        ("costs $5 or $6", "<p>costs $5 or $6</p>"),
        ("a\n---\n", "<h4>a</h4>"),
    ],
)
def test_markdown(text: str, expected: str) -> None:
    assert expected in render_markdown(text)


@pytest.mark.parametrize(
    "text",
    [r"$a^2$", r"$$\frac{a}{b}$$", r"\(a_1\)", r"\[ x \]", "\\[\na\n+ b\n\\]", r"- item: $x$", "so \\[ x \\] it is"],
)
def test_maths_becomes_mathml(text: str) -> None:
    shown = render_markdown(text)
    assert "<math" in shown
    assert "$" not in shown
    assert "\\" not in shown


@pytest.mark.parametrize("source", [r"\frac{", r"}{", r"\begin{matrix}", "a" * 3000, "{" * 40 + "a" + "}" * 40])
def test_maths_that_cannot_be_read_shows_its_source(source: str) -> None:
    shown = render_markdown(f"$${source}$$")
    assert "<math" in shown or source[:20] in re.sub("<[^>]*>", "", shown)


def test_text_of_maths_is_no_markup() -> None:
    shown = render_markdown(r"$\text{<img src=x onerror=alert(1)>}$")
    assert problems_in(shown) == []
    assert "<img" not in shown


def test_only_so_many_formulas_are_typeset() -> None:
    assert render_markdown("$a$ " * (MATHS_MOST + 5)).count("<math") == MATHS_MOST


def test_pictures_are_links() -> None:
    shown = render_markdown("![a picture](https://evil.example/track.png)")
    assert "<img" not in shown
    assert '<a href="https://evil.example/track.png"' in shown
    assert ">a picture</a>" in shown


@pytest.mark.parametrize(
    "text",
    ["[x](javascript:alert(1))", "[x](data:text/html,a)", "[x](/sign-out)", "[x](//evil.example)", "[x](vbscript:a)"],
)
def test_links_that_lead_nowhere_good_lead_nowhere(text: str) -> None:
    assert "href" not in render_markdown(text)


def test_the_look_at_pages_sees_something() -> None:
    """Of the corpus as it is; what is left is markup only in Markdown, in MathML or within an attribute."""
    assert sum(bool(problems_in(vector)) for vector in VECTORS) >= 36


@pytest.mark.parametrize("vector", VECTORS)
def test_nothing_of_the_corpus_gets_through(vector: str) -> None:
    code = (f"`{vector}`", f"```html\n{vector}\n```", f"$${vector}$$", f"\\({vector}\\)")
    links = (f"[{vector}](https://a.b)", f"[a]({vector})", f"![{vector}]({vector})", f"<{vector}>")
    for text in (vector, *code, *links, f"|{vector}|\n|-|\n|{vector}|", f"# {vector}"):
        shown = render_markdown(text)
        assert problems_in(shown) == []
        assert _SAFE.clean(shown) == shown, "a parser that reads it again reads the same"


N = 30_000
HOSTILE = {
    "brackets": "[" * N,
    "images": "![" * (N // 2),
    "quotes": ">" * N,
    "spaced quotes": "> " * (N // 2),
    "stars": "*" * N,
    "emphasis": "*a_" * (N // 3),
    "ticks": "".join("`" * i + " " for i in range(240)),
    "links": "[a](" * (N // 4),
    "references": "[a][" * (N // 4),
    "lists": "- " * (N // 2),
    "nested lists": "".join("  " * i + "- a\n" for i in range(160)),
    "dollars": "$a " * (N // 3),
    "maths": "\\(" * (N // 2),
    "maths lines": "\\[\n" * (N // 3),
    "formulas": "$\\frac{a}{b}$ " * (N // 14),
    "roots": "$" + "\\sqrt" * 300 + "$",
    "powers": "$a" + "^a" * 900 + "$",
    "wide table": "|".join("a" * 3000) + "\n" + "|".join("-" * 3000) + "\n" + "x\n" * 1500,
    **{name: name * (N // len(name)) for name in ("mailto:", "xmpp:", "http:", "https://", "ftp:", "www.")},
    "schemes of all kinds": "mailto:xmpp:https:http:www." * (N // 27),
    "signs of mail": "@" * N,
    "addresses": "a@" * (N // 2),
    "autolinks": "<a:" * (N // 3),
    "nested quotes and lists": "> - 1. " * (N // 7),
    "nested brackets": "[" * (N // 2) + "]" * (N // 2),
    "definitions": "[a]: b '" * (N // 8),
    "definitions over lines": "[a]:\n" * (N // 5),
    "open tags": "<a href='" * (N // 9),
    "struck out": "~~a" * (N // 3),
    "entities": "&#x" * (N // 3),
    "backslashes": "\\" * N,
    "empty items": "*\n" * (N // 2),
    "rules": "***\n" * (N // 4),
    "fences": "```c\n" * (N // 5),
    "code in colour": "```python\n" + "(a)\n" * (CODE_CHARS // 4 - 10) + "```\n",
    "commands": "$$" + "\\left(" * 300 + "$$",
    "matrices": "$$\\begin{matrix}" + "a&" * 900 + "\\end{matrix}$$ " * 9,
    "parentheses": "http://a" + ")" * N,
    "one word": "x" * N,
    "python": "```python\n" + "'" * (CODE_CHARS - 10) + "\n```",
    "code of spaces": "```c\n" + "\n " * (CODE_CHARS // 2 - 10) + "\n```",
    "java": "```java\n" + "a\n" * (CODE_CHARS // 2 - 10) + "\n```",
    "html": "```html\n" + "<a " * (CODE_CHARS // 3 - 10) + "\n```",
    "too long": "*a " * MARKDOWN_CHARS,
}


@pytest.fixture(scope="module")
def strict() -> Iterator[Renderer]:
    """One that gives a text a part of the usual time: some take all that there is."""
    renderer = Renderer(seconds=SECONDS / 8, patience=HANG_SECONDS)
    yield renderer
    renderer.close()


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_made_to_be_slow_does_not_hang(name: str, strict: Renderer) -> None:
    """Whatever it took: rendered, or shown as written, it is not larger than it may be."""
    text = HOSTILE[name]
    shown = strict.render(text)
    assert shown.lasts
    assert problems_in(shown.html) == []
    if shown.how == "rendered":
        assert len(shown.html) <= TIMES * len(text) + BESIDE


GROWING = {
    "a long title": f"[a]: /b '{'t' * 20_000}'\n\n" + "[a] " * 4000,
    "a title that grows": f"[a]: http://b.c '{'&' * 10_000}'\n\n" + "[a] " * 4000,
    "a long address": f"[a]: http://b.c/{'d' * 20_000}\n\n" + "[a] " * 4000,
    "an address that grows": f"[a]: http://b.c/{chr(0x2603) * 10_000}\n\n" + "[a] " * 4000,
    "pictures": f"[a]: http://b.c/{'d' * 20_000}\n\n" + "![a] " * 4000,
    "empty cells": "|" * 400 + "\n" + "|-" * 399 + "|\n" + "a\n" * 160,
}


@pytest.mark.parametrize("name", GROWING)
def test_what_is_made_to_grow_is_stopped_before_it_has_grown(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted as it is written: what is written last is the most that comes on top."""
    text, written = GROWING[name], list[int]()
    check = markdown._check

    def counted(size: int, most: int) -> None:
        written.append(size)
        check(size, most)

    monkeypatch.setattr(markdown, "_check", counted)
    with pytest.raises(TooLargeError, match="Its HTML has more than"):
        render_markdown(text)
    most = TIMES * len(text) + BESIDE
    assert written[-1] <= most + 12 * len(text)
    assert sum(size > most for size in written) == 1


def test_what_grows_in_the_sanitiser_is_counted_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A link says there where it leads to, and how."""
    text = "<http://a>" * 1000
    size = len(render_markdown(text))
    monkeypatch.setattr(markdown, "TIMES", 0)
    monkeypatch.setattr(markdown, "BESIDE", size)
    assert len(render_markdown(text)) == size
    monkeypatch.setattr(markdown, "BESIDE", size - 1)
    with pytest.raises(TooLargeError):
        render_markdown(text)


@pytest.mark.parametrize(
    "text",
    [
        "$x$",
        "$x$, $y$, " * 90,
        "```\nx\n```",
        "".join(f"- $a_{number}$\n" for number in range(200)),
        "```python\n" + "x = f(a[0], {1: 'b'})\n" * 300 + "```",
        "|a|b|c|\n|-|-|-|\n" + "|1|2|3|\n" * 800,
        "see https://a.b and c@d.e\n\n" * 300,
        "> 1. **a** *b* `c` ~~d~~\n" * 300,
    ],
)
def test_what_people_and_models_write_has_room(text: str) -> None:
    assert render_markdown(text)


def test_what_is_too_long_is_shown_as_written() -> None:
    shown = RENDERER.render("<b>*a*" * MARKDOWN_CHARS)
    assert shown.how == "over"
    assert shown.html.startswith('<pre tabindex="0">&lt;b&gt;*a*')


PIECES = [
    "a", " ", "\n", "\n\n", "    ", "\t", "*", "**", "_", "~~", "`", "```", "```python\n", "#", ">", "- ", "1. ", "|",
    "|-|-|\n", "[", "]", "(", ")", "![", "[a]: b 'c'\n", "[a]", "<", ">", "<http://a.b>", "http:", "mailto:", "xmpp:",
    "www.a.b", "a@b.c", "$", "$$", "\\(", "\\)", "\\[", "\\]", "\\frac", "{", "}", "^", "&amp;", "\\", "\N{SNOWMAN}",
    "<script>",
]  # fmt: skip


@settings(max_examples=150)
@given(st.lists(st.tuples(st.sampled_from(PIECES), st.integers(1, 40)), max_size=40))
def test_whatever_is_written(pieces: list[tuple[str, int]]) -> None:
    text = "".join(piece * times for piece, times in pieces)
    shown = RENDERER.render(text)
    assert shown.lasts
    assert problems_in(shown.html) == []
    if shown.how == "rendered":
        assert len(shown.html) <= TIMES * len(text) + BESIDE
        assert _SAFE.clean(shown.html) == shown.html

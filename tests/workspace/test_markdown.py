"""What a model's Markdown becomes: what is meant to work, what must not get through, and that it takes bounded time."""

from __future__ import annotations

import re

import pytest

from lifelearn.workspace.chats.markdown import _SAFE, CODE_CHARS, MARKDOWN_CHARS, MATHS_MOST, render_markdown
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
    "mail addresses": "mailto:" * (N // 7),
    "parentheses": "http://a" + ")" * N,
    "one word": "x" * N,
    "python": "```python\n" + "'" * (CODE_CHARS - 10) + "\n```",
    "code of spaces": "```c\n" + "\n " * (CODE_CHARS // 2 - 10) + "\n```",
    "java": "```java\n" + "a\n" * (CODE_CHARS // 2 - 10) + "\n```",
    "html": "```html\n" + "<a " * (CODE_CHARS // 3 - 10) + "\n```",
    "too long": "*a " * MARKDOWN_CHARS,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_made_to_be_slow_does_not_hang(name: str) -> None:
    shown = render_markdown(HOSTILE[name])
    assert shown
    assert problems_in(shown) == []


def test_what_is_too_long_is_shown_as_written() -> None:
    shown = render_markdown("<b>*a*" * MARKDOWN_CHARS)
    assert shown.startswith('<pre tabindex="0">&lt;b&gt;*a*')

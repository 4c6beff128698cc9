"""An answer's Markdown as safe HTML: tables, code in colour, maths as MathML. Knows neither database nor pages.

Nobody's text becomes markup by itself: HTML in it is shown as it is written, and what was made of it passes a
sanitiser at the end. The result has no style, no script and nothing from another host, and its size is bounded. Time
and memory are not: the parsers take more than linear time on texts made to be slow, so this runs in a process that is
(process.py). Where a text's HTML becomes another one, FORM is raised in renderer.py.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any

import nh3
from latex2mathml.converter import convert
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict
from mdit_py_plugins.dollarmath import dollarmath_plugin
from mdit_py_plugins.gfm_autolink import gfm_autolink_plugin
from pygments import highlight  # type: ignore[import-untyped]
from pygments.formatters import HtmlFormatter  # type: ignore[import-untyped]
from pygments.lexers import get_lexer_by_name  # type: ignore[import-untyped]
from pygments.token import STANDARD_TYPES  # type: ignore[import-untyped]

# Of the HTML, for each character of the text, and beside them: tables, formulas and coloured code take up to twelve,
# and one short formula some hundred. A text made for it would have a thousand.
TIMES, BESIDE = 20, 16_384
CODE_CHARS, CODE_LINE = 8_000, 400
MATHS_CHARS, MATHS_DEPTH, MATHS_LINES = 2_000, 30, 60
MATHS_MOST = 200

# Names that models write after ```. Of Pygments' hundreds of lexers these take bounded time; others take minutes for a
# text made to be slow. Java's and C#'s are among those; C++'s is near enough.
LANGUAGES = {
    **{name: name for name in ("bash", "c", "cpp", "css", "diff", "go", "html", "ini", "javascript", "json")},
    **{name: name for name in ("kotlin", "lua", "php", "python", "r", "ruby", "rust", "scala", "sql", "swift", "toml")},
    **{name: name for name in ("typescript", "xml", "yaml", "powershell", "perl", "haskell", "julia")},
    **{"c++": "cpp", "cs": "cpp", "csharp": "cpp", "docker": "docker", "java": "cpp"},
    **{"dockerfile": "docker", "golang": "go", "js": "javascript", "jsx": "javascript", "kt": "kotlin"},
    **{"py": "python", "python3": "python", "rb": "ruby", "rs": "rust", "sh": "bash"},
    **{"shell": "bash", "ts": "typescript", "tsx": "typescript", "yml": "yaml", "zsh": "bash"},
}

_MATHML: dict[str, set[str]] = {
    "math": {"display", "xmlns"},
    **{tag: {"mathvariant"} for tag in ("mi", "mn", "ms", "mtext")},
    "mo": {"accent", "fence", "form", "largeop", "lspace", "maxsize", "minsize", "movablelimits", "mathvariant"}
    | {"rspace", "separator", "stretchy", "symmetric"},
    "mfrac": {"displaystyle", "linethickness"},
    "mspace": {"depth", "height", "linebreak", "width"},
    "mstyle": {"displaystyle", "scriptlevel"},
    "mpadded": {"depth", "height", "lspace", "voffset", "width"},
    "menclose": {"notation"},
    "mtable": {"columnalign", "columnlines", "columnspacing", "displaystyle", "frame", "rowlines", "rowspacing"},
    "mtr": {"columnalign", "rowalign"},
    "mtd": {"columnalign", "columnspan", "rowalign", "rowspan"},
    "mover": {"accent"},
    "munder": {"accentunder"},
    "munderover": {"accent", "accentunder"},
    **{tag: set() for tag in ("merror", "mmultiscripts", "mphantom", "mprescripts", "mroot", "mrow", "msqrt")},
    **{tag: set() for tag in ("msub", "msubsup", "msup", "none")},
}
_ALIGNED = {"text-center", "text-right"}
_SAFE = nh3.Cleaner(
    tags={"a", "blockquote", "br", "button", "code", "dd", "div", "em", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p"}
    | {"pre", "s", "span", "strong", "table", "tbody", "td", "th", "thead", "tr", "ul"}
    | set(_MATHML),
    clean_content_tags={"script", "style"},
    attributes={"a": {"href", "title"}, "ol": {"start"}, **{tag: names for tag, names in _MATHML.items() if names}},
    tag_attribute_values={
        "button": {"type": {"button"}, "data-copy-code": {""}},
        "pre": {"tabindex": {"0"}},
        "table": {"tabindex": {"0"}},
        "th": {"scope": {"col"}},
    },
    allowed_classes={
        "button": {"small", "secondary", "outline"},
        "code": {f"language-{name}" for name in LANGUAGES.values()} | {"maths"},
        "div": {"code", "maths"},
        "span": {name for name in STANDARD_TYPES.values() if name},
        "td": _ALIGNED,
        "th": _ALIGNED,
    },
    set_tag_attribute_values={"a": {"target": "_blank"}},
    url_schemes={"http", "https", "mailto"},
    url_relative="deny",
    link_rel="noopener noreferrer nofollow",
)
_COLOURS = HtmlFormatter(nowrap=True)


class TooLargeError(Exception):
    """The HTML would be larger than it may be. The text says how large that is."""


def render_markdown(text: str) -> str:
    """Safe HTML of a text in Markdown. Raises TooLargeError where it would be too large, before it is."""
    most = TIMES * len(text) + BESIDE
    shown = _SAFE.clean(_PARSER.render(text, {"most": most}))
    _check(len(shown), most)  # once more: each link has become longer
    return shown


def _check(size: int, most: int) -> None:
    if size > most:
        raise TooLargeError(f"Its HTML has more than {most:,} characters.")


class _Bounded(RendererHTML):
    """What the tokens become, as long as it is no more than `env["most"]` characters."""

    def render(self, tokens: Sequence[Token], options: OptionsDict, env: EnvType) -> str:
        return "".join(self._parts(tokens, options, env))

    def _parts(self, tokens: Sequence[Token], options: OptionsDict, env: EnvType) -> Iterator[str]:
        for index, token in enumerate(tokens):
            if token.type == "inline":
                yield from self._parts(token.children or (), options, env)
                continue
            rule = self.rules.get(token.type)
            part = rule(tokens, index, options, env) if rule else self.renderToken(tokens, index, options, env)
            env["size"] = env.get("size", 0) + len(part)
            _check(env["size"], env["most"])
            yield part


def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False}, renderer_cls=_Bounded).enable(["table", "strikethrough"])
    parser.use(gfm_autolink_plugin)
    parser.use(
        dollarmath_plugin,
        allow_labels=False,
        allow_space=False,
        allow_digits=False,  # "$5 and $6" is money
        allow_blank_lines=False,
        double_inline=True,
    )
    parser.inline.ruler.before("escape", "math_brackets", _brackets_inline)
    parser.block.ruler.before("fence", "math_brackets", _brackets_block, {"alt": ["paragraph", "blockquote", "list"]})
    rules: dict[str, Callable[..., str]] = {
        "fence": _code,
        "code_block": _code,
        "image": _image,
        "math_inline": _maths,
        "math_inline_double": _maths,
        "math_block": _maths,
        "heading_open": _heading,
        "heading_close": _heading,
        "table_open": _table,
        "th_open": _cell,
        "td_open": _cell,
    }
    for name, rule in rules.items():
        parser.add_render_rule(name, rule)
    return parser


# What the tokens of Markdown become


def _code(self: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType) -> str:
    token = tokens[index]
    words = token.info.split(maxsplit=1)
    language = LANGUAGES.get(words[0].lower(), "") if words else ""
    if language and _colourable(token.content):
        shown = highlight(token.content, get_lexer_by_name(language), _COLOURS)
        opened = f'<code class="language-{language}">'
    else:
        shown, opened = html.escape(token.content), "<code>"
    copy = '<button type="button" class="small secondary outline" data-copy-code="">Copy</button>'
    return f'<div class="code">{copy}<pre tabindex="0">{opened}{shown}</code></pre></div>\n'


def _colourable(code: str) -> bool:
    """Whether the lexers take bounded time: they are slow on long lines and on long runs of white space."""
    if len(code) > CODE_CHARS or max(map(len, code.split("\n"))) > CODE_LINE:
        return False
    return re.search(r"\s{200}", code) is None


def _image(self: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType) -> str:
    """A link to the picture: a picture from another host would tell that host who reads."""
    source = str(tokens[index].attrGet("src") or "")
    return f'<a href="{html.escape(source)}">{html.escape(tokens[index].content or source)}</a>'


def _heading(self: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType) -> str:
    """Below the page's own headings: h1 is the chat, h2 the message."""
    token = tokens[index]
    level = min(6, int(token.tag[1]) + 2)
    return f"<h{level}>" if token.nesting > 0 else f"</h{level}>\n"


def _table(self: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType) -> str:
    return '<table tabindex="0">\n'  # reached by the keyboard, since it may scroll


def _cell(self: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType) -> str:
    token = tokens[index]
    align = str(token.attrGet("style") or "").removeprefix("text-align:")
    classes = f' class="text-{align}"' if align in ("center", "right") else ""
    scope = ' scope="col"' if token.tag == "th" else ""
    return f"<{token.tag}{scope}{classes}>"


def _maths(self: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType) -> str:
    token = tokens[index]
    env["maths"] = env.get("maths", 0) + 1
    block = token.type != "math_inline"
    source = token.content.strip()
    shown = _mathml(source, block) if env["maths"] <= MATHS_MOST else ""
    if not shown:
        shown = f'<code class="maths">{html.escape(source)}</code>'
    return f'<div class="maths">{shown}</div>\n' if token.type == "math_block" else shown


@lru_cache(maxsize=256)
def _mathml(source: str, block: bool) -> str:
    """MathML; "" where the source cannot be read."""
    if not source or len(source) > MATHS_CHARS or _depth(source) > MATHS_DEPTH:
        return ""
    try:
        return str(convert(source, display="block" if block else "inline"))
    except Exception:  # its errors have no class in common, and whatever it is, the source can be shown
        return ""


def _depth(source: str) -> int:
    depth = most = 0
    for part in re.findall(r"[{}]|\\left\b|\\right\b|\\begin\b|\\end\b|\\sqrt\b|\\frac\b|[_^]", source):
        if part in ("{", "\\left", "\\begin"):
            depth += 1
            most = max(most, depth)
        elif part in ("}", "\\right", "\\end"):
            depth -= 1
    return most


# \( … \) and \[ … \], as many models write their maths


def _brackets_inline(state: StateInline, silent: bool) -> bool:
    opened = state.src[state.pos : state.pos + 2]
    if opened not in ("\\(", "\\["):
        return False
    closing = "\\)" if opened == "\\(" else "\\]"
    end = state.src.find(closing, state.pos + 2, state.pos + 2 + MATHS_CHARS)
    if end <= state.pos + 2 or end + 2 > state.posMax:
        return False
    if not silent:
        token = state.push("math_inline" if opened == "\\(" else "math_inline_double", "math", 0)
        token.content = state.src[state.pos + 2 : end]
    state.pos = end + 2
    return True


def _brackets_block(state: StateBlock, first: int, last: int, silent: bool) -> bool:
    begin = state.bMarks[first] + state.tShift[first]
    if not state.src.startswith("\\[", begin) or state.is_code_block(first):
        return False
    for line in range(first, min(last, first + MATHS_LINES)):
        end = state.src.find("\\]", begin + 2 if line == first else state.bMarks[line], state.eMarks[line])
        if line > first and state.isEmpty(line):
            return False
        if end < 0:
            continue
        if state.src[end + 2 : state.eMarks[line]].strip(" .,;"):
            return False  # it goes on as a sentence
        if not silent:
            token = state.push("math_block", "math", 0)
            token.content = state.src[begin + 2 : end]
            token.map = [first, line + 1]
            token.block = True
            state.line = line + 1
        return True
    return False


_PARSER: Any = _parser()

"""Texts that become script where they are not kept apart from markup, and a look at a page for what they would do."""

from __future__ import annotations

import re
from html.parser import HTMLParser

VECTORS = (
    "<script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    "<SCRIPT SRC=//evil.example/x.js></SCRIPT>",
    "<img src=x onerror=alert(1)>",
    '<img src="x" onerror="alert(1)">',
    "<img/src=x/onerror=alert(1)>",
    '"><img src=x onerror=alert(1)>',
    "'><img src=x onerror=alert(1)>",
    '" onmouseover="alert(1)',
    "' onfocus='alert(1)' autofocus='",
    '" autofocus onfocus=alert(1) x="',
    "<svg onload=alert(1)>",
    "<svg><script>alert(1)</script></svg>",
    "<svg><a xlink:href='javascript:alert(1)'><text>x</text></a></svg>",
    "<svg><animate onbegin=alert(1) attributeName=x dur=1s>",
    "<math><mi//xlink:href='data:x,<script>alert(1)</script>'>",
    "<math><mtext><table><mglyph><style><!--</style><img title='--&gt;&lt;img src=1 onerror=alert(1)&gt;'>",
    "<math><annotation-xml encoding='text/html'><script>alert(1)</script></annotation-xml></math>",
    "<form><math><mtext></form><form><mglyph><style></math><img src onerror=alert(1)>",
    "<iframe src=javascript:alert(1)></iframe>",
    "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
    "<object data=javascript:alert(1)></object>",
    "<embed src=javascript:alert(1)>",
    "<a href=javascript:alert(1)>x</a>",
    "<a href='java\tscript:alert(1)'>x</a>",
    "<a href='&#106;avascript:alert(1)'>x</a>",
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt:alert(1))",
    "[x](java&#x0A;script:alert(1))",
    "[x](data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==)",
    "![x](data:image/svg+xml;base64,PHN2ZyBvbmxvYWQ9YWxlcnQoMSk+)",
    '![x](x" onerror="alert(1))',
    "[x]: javascript:alert(1)\n\n[x]",
    "<javascript:alert(1)>",
    "<details open ontoggle=alert(1)>",
    "<body onload=alert(1)>",
    "<base href=//evil.example/>",
    "<meta http-equiv=refresh content='0;url=javascript:alert(1)'>",
    "<link rel=stylesheet href=//evil.example/x.css>",
    "<style>@import '//evil.example/x.css';</style>",
    "<p style='background:url(javascript:alert(1))'>",
    "<div hx-get=/sign-out hx-trigger=load>x</div>",
    "<div hx-on:click=alert(1)>x</div>",
    "<button formaction=javascript:alert(1)>x</button>",
    "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>",
    "<textarea><img title='</textarea><img src=x onerror=alert(1)>'>",
    "</title><script>alert(1)</script>",
    "</textarea><script>alert(1)</script>",
    "{{ 7 * 7 }}{% raw %}<script>alert(1)</script>",
    "$\\href{javascript:alert(1)}{x}$",
    '```"><script>alert(1)</script>\nx\n```',
    "<!--><script>alert(1)</script>-->",
    "<template><script>alert(1)</script></template>",
)

_ADDRESSES = ("href", "src", "action", "formaction", "data", "poster", "xlink:href", "srcset", "background", "ping")
_OURS = ("/static/",)
_FORBIDDEN = {"iframe", "object", "embed", "base", "applet", "frame", "annotation-xml", "style", "template", "img"}


class _Look(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.problems: list[str] = []
        self.contents = 0  # depth within what a model wrote
        self.open: list[bool] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name.lower(): value or "" for name, value in attrs}
        if tag in _FORBIDDEN:
            self.problems.append(f"<{tag}>")
        if tag == "script" and not (given.get("src", "").startswith(_OURS) and set(given) == {"src", "defer"}):
            self.problems.append("script")
        if tag == "link" and not given.get("href", "").startswith(_OURS):
            self.problems.append(f"link {given}")
        if tag == "meta" and "http-equiv" in given:
            self.problems.append("meta refresh")
        for name, value in given.items():
            if name.startswith(("on", "hx-on")) or name in ("style", "srcdoc"):
                self.problems.append(f"{tag} {name}={value}")
            address = re.sub(r"[\x00-\x20]", "", value).lower()
            if (name in _ADDRESSES or name.startswith(("hx-", "sse-"))) and address.startswith(
                ("javascript:", "data:", "vbscript:", "//")
            ):
                self.problems.append(f"{tag} {name}={value}")
            if self.contents and name.startswith(("hx-", "sse-")):
                self.problems.append(f"{tag} {name} in an answer")
        if tag not in ("br", "hr", "input", "meta", "link", "path", "circle"):
            self.open.append(tag == "div" and "content" in given.get("class", "").split())
            self.contents += self.open[-1]

    def handle_endtag(self, tag: str) -> None:
        if self.open and tag not in ("path", "circle"):
            self.contents -= self.open.pop()


def problems_in(page: str) -> list[str]:
    """What in a page could run, load from elsewhere or send something by itself; [] is good."""
    look = _Look()
    look.feed(page)
    look.close()
    return look.problems

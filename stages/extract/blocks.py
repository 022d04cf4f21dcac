"""An HTML page as the blocks of text a reader sees, in one pass over its tags, without a tree.

A tree parser is quadratic on deep or badly closed pages (lexbor and libxml2 are: every start tag may look through all
open elements), so this one keeps a stack of block elements of bounded depth and looks at a bounded part of it. What it
knows of HTML's rules is what text needs: which tags end a block, which end tags may be left out, what is never shown.
"""

import html
import re
from collections.abc import Container
from typing import NamedTuple

from stages.extract.possessive import possessive

MAX_CHARS = 20_000_000  # of a page; what follows is not read
MAX_DEPTH = 200  # block elements inside each other; what is deeper counts as its ancestor at this depth
LOOK_BACK = 40  # how far up an end tag looks for its start
MAX_QUOTED = 20_000  # characters of a quoted attribute that may hold `>`

TAG = possessive(
    r"""<(/?[a-zA-Z!?][^\s<>/"']*+)"""
    rf"""((?:[^<>"']++|"[^"]{{0,{MAX_QUOTED}}}+"|'[^']{{0,{MAX_QUOTED}}}+')*+(?=>)|[^<>]*+)>"""
    r"""([^<]*+(?:<(?![a-zA-Z/!?])[^<]*+)*+)"""
)
RAW = re.compile(
    r"<(?:!--|([sS][cC][rR][iI][pP][tT]|[sS][tT][yY][lL][eE]|[nN][oO][sS][cC][rR][iI][pP][tT]|[sS][vV][gG]|"
    r"[tT][iI][tT][lL][eE]|[tT][eE][xX][tT][aA][rR][eE][aA]|[iI][fF][rR][aA][mM][eE]|[xX][mM][pP])(?=[\s/>]))"
)
BODY = re.compile(r"<[bB][oO][dD][yY](?=[\s/>])")
HIDDEN = re.compile(
    r"""display\s*:\s*none|visibility\s*:\s*hidden|(?<![-\w])hidden(?=\s|/|$|=["']?(?:hidden|true|["']))"""
)
BREAK = "\x01"  # stands for <br> until the block ends

# fmt: off
BLOCKS = frozenset({
    "address", "article", "aside", "blockquote", "body", "caption", "center", "dd", "details", "dialog", "dir",
    "div", "dl", "dt", "fieldset", "figcaption", "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6",
    "header", "hgroup", "html", "legend", "li", "main", "menu", "nav", "ol", "p", "pre", "section", "summary",
    "table", "tbody", "td", "tfoot", "th", "thead", "tr", "ul",
})
SKIPPED = frozenset({
    "applet", "audio", "button", "canvas", "datalist", "dialog", "map", "math", "object", "select", "template",
    "video",
})
# fmt: on
# An element of the first kind ends when one of the second starts, unless one of the third is between.
IMPLIED = {
    "li": ({"li"}, {"ul", "ol", "menu", "dir"}),
    "dt": ({"dt", "dd"}, {"dl"}),
    "dd": ({"dt", "dd"}, {"dl"}),
    "td": ({"td", "th"}, {"tr", "table"}),
    "th": ({"td", "th"}, {"tr", "table"}),
    "tr": ({"tr"}, {"table"}),
}
SCOPE = {"td": {"table"}, "tr": {"table"}, "th": {"table"}, "li": {"ul", "ol"}, "p": {"td", "li", "table"}}

KEPT = frozenset({"body", "html", "main", "article"})  # hidden only until a script shows them
HIDEABLE = frozenset({"span", "b", "i", "em", "strong", "font", "label"})
INLINE, START, END, LINK, UNLINK, BR, SKIP, UNKNOWN = range(8)
KINDS = (
    dict.fromkeys(BLOCKS, START)
    | {f"/{name}": END for name in BLOCKS}
    | dict.fromkeys(SKIPPED, SKIP)
    | dict.fromkeys(
        ["span", "b", "i", "em", "strong", "font", "img", "/span", "/b", "/i", "/em", "/strong", "/font"], INLINE
    )
    | {"a": LINK, "/a": UNLINK, "br": BR, "br/": BR, "hr": BR}
)


class Block(NamedTuple):
    """A run of text that no block element and no blank line interrupts."""

    text: str
    linked: int  # characters inside links
    node: int


class Page:
    """What has been read so far.

    Block elements are numbered; `parent`, `tag` and `attrs` say what each is. Parents come before children.
    """

    def __init__(self) -> None:
        self.parent, self.tag, self.attrs = [0], [""], [""]
        self.blocks: list[Block] = []
        self.stack = [0]
        self.beyond = 0  # elements open below MAX_DEPTH
        self.pieces: list[str] = []
        self.line = -1  # the piece after the last line break
        self.linked = 0
        self.link = -1  # the piece at which the open link starts
        self.pre = 0

    def flush(self) -> None:
        """End the block. There are pieces."""
        pieces = self.pieces
        linked = self.linked
        if self.link >= 0:
            linked += sum(len(piece.strip()) for piece in pieces[self.link :])
            self.link = 0
        text = "".join(pieces) if len(pieces) > 1 else pieces[0]
        if "&" in text:
            text = text.replace("&nbsp;", " ")
            if "&" in text:
                text = html.unescape(text)
        if self.pre:
            text = "\n".join(line.rstrip() for line in text.splitlines()).strip("\n") if text.strip() else ""
        elif self.line >= 0:
            lines = (" ".join(line.split()) for line in text.split(BREAK))
            text = "\n".join(line for line in lines if line)
        else:
            text = " ".join(text.split())
        if text:
            self.blocks.append(Block(text, linked, self.stack[-1]))
        pieces.clear()
        self.linked, self.line = 0, -1

    def start(self, name: str, attrs: str) -> None:
        """A block element starts."""
        stack, tag = self.stack, self.tag
        if tag[stack[-1]] == "p":
            stack.pop()
        if name in IMPLIED:
            ends, between = IMPLIED[name]
            self.close(ends, between)
        if len(stack) >= MAX_DEPTH:
            self.beyond += 1
            return
        self.parent.append(stack[-1])
        stack.append(len(tag))
        tag.append(name)
        self.attrs.append(attrs)
        if name == "pre":
            self.pre += 1

    def close(self, names: Container[str], between: Container[str]) -> None:
        """Close the nearest open element with one of the names, looking no further than one that is between."""
        stack, tags = self.stack, self.tag
        for i in range(len(stack) - 1, max(0, len(stack) - LOOK_BACK), -1):
            tag = tags[stack[i]]
            if tag in names:
                del stack[i:]
                return
            if tag in between:
                return

    def break_line(self) -> None:
        """`<br>`: the second one in a row ends the block."""
        if self.line >= 0 and not "".join(self.pieces[self.line :]).strip():
            if self.pieces:
                self.flush()
            return
        self.pieces.append("\n" if self.pre else BREAK)
        self.line = len(self.pieces)

    def end(self, name: str) -> None:
        """A block element ends, and all that is open inside it."""
        if self.beyond:
            self.beyond -= 1
        else:
            self.close((name,), SCOPE.get(name, ()))
        if name == "pre" and self.pre:
            self.pre -= 1

    def end_link(self) -> None:
        """`</a>`, where a link is open."""
        for piece in self.pieces[self.link :]:
            self.linked += len(piece.strip())
        self.link = -1


def read_page(source: str) -> Page:
    """The blocks of text of a page, in order, and the elements they are in.

    Scripts, styles, form controls, comments and hidden elements are not text; controls and hidden elements are where
    one of them never ends.
    """
    source = shown(source[:MAX_CHARS])
    return _read(source, True) or _read(source, False) or Page()


def _read(source: str, skipping: bool) -> Page | None:  # noqa: PLR0912, PLR0915 - calls would double the time of this loop
    page = Page()
    first = TAG.search(source)
    page.pieces.append(source[: first.start()] if first else source)
    skip, skipped = "", 0
    kinds, stack, tag, pieces = KINDS, page.stack, page.tag, page.pieces
    for raw, attrs, text in TAG.findall(source):
        kind = kinds.get(raw, UNKNOWN)
        if skip:
            name = raw.lower()
            if name == skip:
                skipped += attrs[-1:] != "/"
            elif name == "/" + skip:
                skipped -= 1
                if not skipped:
                    skip = ""
                    pieces.append(text)
            continue
        if kind == UNKNOWN:
            raw = raw.lower()  # noqa: PLW2901
            kind = kinds.get(raw, INLINE)
        if kind == END:
            if pieces:
                page.flush()
            if tag[stack[-1]] == raw[1:] and not page.beyond and raw != "/pre":
                stack.pop()
            else:
                page.end(raw[1:])
        elif kind == START:
            if pieces:
                page.flush()
            if attrs and skipping and ("hidden" in attrs or "none" in attrs) and is_hidden(attrs) and raw not in KEPT:
                skip, skipped = raw, 1
                continue
            page.start(raw, attrs)
        elif kind == LINK:
            if page.link >= 0:
                page.end_link()
            if "href" in attrs or "HREF" in attrs:
                page.link = len(pieces)
        elif kind == UNLINK:
            if page.link >= 0:
                page.end_link()
        elif kind == BR:
            page.break_line()
        elif kind == SKIP:
            if skipping and attrs[-1:] != "/":
                skip, skipped = raw, 1
                continue
        elif attrs and skipping and raw in HIDEABLE and ("hidden" in attrs or "none" in attrs) and is_hidden(attrs):
            skip, skipped = raw, 1
            continue
        if text and (pieces or not text.isspace()):
            pieces.append(text)
    if skip:
        return None
    if pieces:
        page.flush()
    return page


def shown(source: str) -> str:
    """The body of a page without what is no markup (scripts, styles, comments); unclosed, that reaches to the end."""
    if "\x00" in source:
        source = source.replace("\x00", "")
    found = BODY.search(source)
    place = found.start() if found else 0
    kept = []
    unclosed: set[str] = set()
    while opening := RAW.search(source, place):
        kept.append(source[place : opening.start()])
        if opening[1] is None:
            end = source.find("-->", opening.start() + 2)
            place = end + 3 if end >= 0 else len(source)  # browsers show nothing after an unclosed comment either
        else:
            place = _after(source, opening[1].lower(), opening.end(), unclosed)
    kept.append(source[place:])
    return "".join(kept)


def _after(source: str, name: str, start: int, unclosed: set[str]) -> int:
    """Where the content of a raw element ends: at its end tag, which stays and is ignored."""
    if name == "svg" and source[source.find(">", start, start + 2000) - 1] == "/":
        return start
    place = start
    while name not in unclosed and (place := source.find("</", place)) >= 0:
        if source[place + 2 : place + 2 + len(name)].lower() == name:
            return place
        place += 2
    unclosed.add(name)
    return len(source) if name in ("script", "style") else start


def is_hidden(attrs: str) -> bool:
    """Whether an element's attributes say that it is not shown."""
    return HIDDEN.search(attrs) is not None

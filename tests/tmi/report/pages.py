"""Reads a page as a browser would, strictly: which tags, texts and addresses it has, and whether every tag is closed."""

from __future__ import annotations

from html.parser import HTMLParser

_VOID = {"meta", "img", "br", "hr", "link", "input", "source"}


class Page(HTMLParser):
    """A parsed page or part of one."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.sources: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.attributes: dict[str, dict[str, str | None]] = {}
        self.problems: list[str] = []
        self.cells: list[list[str]] = []
        self.headings: list[str] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(text)
        self.close()
        self.problems += [f"<{tag}> is not closed" for tag in self._open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if len(found) < len(attrs):
            self.problems.append(f"<{tag}>: an attribute twice")
        self.tags.append(tag)
        self.attributes[tag] = found
        for name in ("src", "srcset", "data", "poster", "action"):
            if name in found:
                self.sources.append(found[name] or "")
        if "href" in found:
            self.links.append(found["href"] or "")
        if "id" in found:
            if found["id"] in self.ids:
                self.problems.append(f"id {found['id']} twice")
            self.ids.append(found["id"] or "")
        self.problems += [f"<{tag}>: {name}" for name in found if name.startswith("on")]
        if tag == "tr":
            self.cells.append([])
        if tag == "td":
            self.cells[-1].append("")
        if tag == "h2":
            self.headings.append("")
        if tag not in _VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open.pop() != tag:
            self.problems.append(f"</{tag}> closes nothing")
        if tag == "tr" and not self.cells[-1]:
            self.cells.pop()  # a row of headings

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._open and self._open[-1] == "td":
            self.cells[-1][-1] += data
        if self._open and self._open[-1] == "h2":
            self.headings[-1] += data

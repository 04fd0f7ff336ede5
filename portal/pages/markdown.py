"""Markdown from flows as HTML that may stand on our pages."""

import nh3
from django.utils.safestring import SafeString
from markdown_it import MarkdownIt

# HTML in the text is shown as text. What is made of it passes a list of harmless tags besides: no images,
# which would tell their servers who looks, no styles, no scripts.
TAGS = {
    "a", "blockquote", "br", "code", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p", "pre",
    "s", "strong", "table", "tbody", "td", "th", "thead", "tr", "ul",
}  # fmt: skip
_markdown = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])


def as_html(text: str) -> SafeString:
    """The text rendered; links lead to http, https and mailto alone."""
    made = _markdown.render(text)
    clean = nh3.clean(
        made, tags=TAGS, attributes={"a": {"href"}}, url_schemes={"http", "https", "mailto"},
        link_rel="noopener noreferrer nofollow",
    )  # fmt: skip
    return SafeString(clean)

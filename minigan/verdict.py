"""How a verdict looks in a notebook. It has a mark and words too, so that nobody needs to tell the colours apart."""

from html import escape

RIGHT, WRONG = ("✓", "#00693c"), ("✗", "#b00020")  # mark and colour; both colours are dark enough to read on white


def heading(right: bool, words: str) -> str:
    """The words in bold HTML, after the mark and in the colour of the verdict."""
    mark, colour = RIGHT if right else WRONG
    return f"<b style='color:{colour}'>{mark} {escape(words)}</b>"


def paragraph(text: str) -> str:
    """Plain text as a paragraph of HTML; its lines stay lines."""
    return f"<p>{escape(text)}</p>".replace("\n", "<br>")

"""Text inside XML. The standard library's xml.sax.saxutils does the same, and loads all of urllib and TLS with it."""

import html


def escape(text: str) -> str:
    """As the content of an element."""
    return html.escape(text, quote=False)


def attribute(text: str) -> str:
    """As the value of an attribute, with its quotes; a parser gives back line ends and tabs as they are."""
    whole = html.escape(text).replace("\n", "&#10;").replace("\r", "&#13;").replace("\t", "&#9;")
    return f'"{whole}"'

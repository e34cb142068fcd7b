"""The answers of a check, for people and for programs: a form a module, each pure."""

from azready.image.render.data import as_json, rows
from azready.image.render.github import as_github
from azready.image.render.html import as_html
from azready.image.render.junit import as_junit
from azready.image.render.sarif import as_sarif
from azready.image.render.text import as_text, findings, summary

__all__ = ["as_github", "as_html", "as_json", "as_junit", "as_sarif", "as_text", "findings", "rows", "summary"]

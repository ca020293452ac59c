"""Rendering of answers for the page: Markdown, code and formulas become a tree of plain nodes."""

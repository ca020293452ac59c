"""Rendering for the page: turns Markdown, code and formulas into nodes."""

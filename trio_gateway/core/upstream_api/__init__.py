"""Upstream's side of the API: reads heads, chunks, errors and answers."""

"""Text basics: hold, measure and clean pieces of text."""

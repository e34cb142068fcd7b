"""A boot record as text and as a page."""

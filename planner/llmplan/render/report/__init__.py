"""A report as a page: the same sections in HTML, with charts, and in Markdown."""

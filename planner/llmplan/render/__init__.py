"""How answers look: tables, JSON, CSV, Markdown."""

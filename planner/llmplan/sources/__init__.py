"""Files that describe a model, read into catalogue records."""

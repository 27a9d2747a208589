"""Public measured results: read, predicted, scored."""

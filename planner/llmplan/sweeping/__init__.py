"""Bulk evaluation: a plan file's grid to rows, in files or an Arrow table, local or on Ray."""

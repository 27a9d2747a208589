"""Find and load models and hardware by any name they go by."""

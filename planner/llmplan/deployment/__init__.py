"""From a setup to the files that start it: one small module a target, in `targets/`."""

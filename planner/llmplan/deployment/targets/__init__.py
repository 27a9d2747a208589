"""One module a target, found by its name here; each has `ENGINES` and `files(deployment)`.

`ENGINES` names the engines that the target can start, empty for all; the first is taken where
the user names none. The first line of a module's docstring is its line in the help.
"""

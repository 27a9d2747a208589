"""How long a step takes, and what a server of such steps delivers: pure formulas."""

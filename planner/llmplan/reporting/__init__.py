"""The data of a report: options for a load, how they grow, what moves them, how sure it is."""

"""Decisions as values: numbers in, decisions out. Clocks and dice are parameters."""

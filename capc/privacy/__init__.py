"""Noise, the account of what answers cost, and the budget."""

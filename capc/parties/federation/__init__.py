"""Parties on machines of their own, which know each other from a file and keep own records."""

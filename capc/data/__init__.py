"""The data sets that the parties train on and ask about, and queries in files."""

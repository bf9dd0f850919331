"""The three kinds of party, one process each."""

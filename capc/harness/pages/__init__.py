"""Pages that a run leaves for a browser: self-contained, and of public outputs only."""

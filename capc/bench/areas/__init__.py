"""One module for each area of `capc bench`: its `run(repeat)` gives the rows."""

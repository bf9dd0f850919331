"""What `make bench` measures, one module an area; each gives rows of one table."""

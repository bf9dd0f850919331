"""Benchmarks: each peer measured in the same run as ours, and the paper's tables."""

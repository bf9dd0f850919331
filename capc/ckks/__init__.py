"""Purely homomorphic evaluation of polynomial networks: CKKS, a batch in the slots."""

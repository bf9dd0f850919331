"""Homomorphic encryption (BFV, by SEAL) of linear layers, between a client and a server."""

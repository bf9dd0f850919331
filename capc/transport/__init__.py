"""Framed messages between parties, TLS, and the control channel to the driver."""

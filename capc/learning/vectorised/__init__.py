"""Training of many parties' models at once, on one device, by JAX."""

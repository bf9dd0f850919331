"""Two-party inference: one server, one client, the plain reference, what a query costs."""

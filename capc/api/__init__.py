"""What programs of others call: a run, a model, and what a run left. docs/python.md lists it."""

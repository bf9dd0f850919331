"""Learning experiments: private models, the choice of queries, retraining, tables and figures."""

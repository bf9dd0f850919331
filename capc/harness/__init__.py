"""One run: flags, launchers, supervision, the run's folder, its tables."""

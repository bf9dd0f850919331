"""he-transformer's two Python packages, on this project's engine: put this folder on PYTHONPATH."""

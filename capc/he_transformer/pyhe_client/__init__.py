"""he-transformer's client, on this project's engine. See docs/he-transformer.md.

client = pyhe_client.HESealClient(hostname, port, batch_size, {name: ("encrypt", data)})
results = client.get_results()
"""

from capc.he_transformer.pyhe_client.client import HESealClient

__all__ = ["HESealClient"]

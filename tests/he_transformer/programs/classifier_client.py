"""The client of classifier_server.py."""

import sys

import numpy as np
import pyhe_client

images = np.load(sys.argv[2])
client = pyhe_client.HESealClient(
    "localhost",
    int(sys.argv[1]),
    len(images),
    {"import/input": ("encrypt", images.flatten("C"))},
)
results = np.array(client.get_results()).reshape(len(images), -1)
np.save(sys.argv[3], results)

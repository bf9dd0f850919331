"""A network as a short list of linear and non-linear layers, over reals and over integers.

Every class says what its layer means: see `Layer` in base.py. The list is in topological order.

linear.py holds the products with weights, sums.py what adds, pools.py what looks at windows,
movements.py what only moves numbers, activations.py the non-linear functions. interval.py is the
arithmetic of the proofs. This package gives all that they name in `__all__`.
"""

from capc.graph.layers.activations import *  # noqa: F403
from capc.graph.layers.base import *  # noqa: F403
from capc.graph.layers.linear import *  # noqa: F403
from capc.graph.layers.movements import *  # noqa: F403
from capc.graph.layers.pools import *  # noqa: F403
from capc.graph.layers.sums import *  # noqa: F403

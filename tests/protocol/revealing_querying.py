"""The real querying_party, revealing its secrets to a test."""

import sys

from revealing import reveal

from capc.parties import querying_party

if __name__ == "__main__":
    sys.exit(reveal("querying", querying_party))

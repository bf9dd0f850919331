"""The real answering_party, revealing its secrets to a test."""

import sys

from revealing import reveal

from capc.parties import answering_party

if __name__ == "__main__":
    sys.exit(reveal("answering", answering_party))

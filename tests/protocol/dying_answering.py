"""The real answering party, killed at a given step."""

import sys

from dying import main

if __name__ == "__main__":
    sys.exit(main("answering"))

"""The real answering party with frames of another kind."""

import sys

from odd import main

if __name__ == "__main__":
    sys.exit(main("answering"))

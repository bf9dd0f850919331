"""The real guardian, which can draw no noise once its set-up is over."""

import sys

from drawing import main

if __name__ == "__main__":
    sys.exit(main("guardian"))

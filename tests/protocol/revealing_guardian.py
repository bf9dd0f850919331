"""The real privacy_guardian, revealing its secrets to a test."""

import sys

from revealing import reveal

from capc.parties import privacy_guardian

if __name__ == "__main__":
    sys.exit(reveal("guardian", privacy_guardian))

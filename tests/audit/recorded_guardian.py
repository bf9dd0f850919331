"""The guardian program of an audited run."""

import sys

from recorded_party import take_part

from capc.parties import privacy_guardian

if __name__ == "__main__":
    sys.exit(take_part("guardian", privacy_guardian))

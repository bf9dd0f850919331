"""The answering program of an audited run."""

import sys

from recorded_party import take_part

from capc.parties import answering_party

if __name__ == "__main__":
    sys.exit(take_part("answering", answering_party))

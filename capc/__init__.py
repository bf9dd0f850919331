"""CaPC: confidential and private collaborative learning (ICLR 2021), as a runnable protocol."""

__version__ = "0.1.0"

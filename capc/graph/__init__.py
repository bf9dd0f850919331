"""Networks as short lists of layers, over reals and over integers, with proven ranges."""

"""The public shape of a linear layer: all that the packing of its polynomials depends on."""

from __future__ import annotations

from dataclasses import dataclass

Pair = tuple[int, int]


@dataclass(frozen=True)
class LinearShape:
    """A cross-correlation of (H, W, C_in) by a kernel (kh, kw, C_in // groups, C_out).

    `padding` is ((top, bottom), (left, right)) in pixels. A dense layer x @ weight is the case
    H = W = kh = kw = 1; its arrays keep their own shapes (n_in,), (n_in, n_out), (n_out,).
    """

    height: int
    width: int
    channels: int
    kernel: Pair
    filters: int
    strides: Pair = (1, 1)
    padding: tuple[Pair, Pair] = ((0, 0), (0, 0))
    dilations: Pair = (1, 1)
    groups: int = 1
    is_dense: bool = False

    def __post_init__(self) -> None:
        sizes = (self.height, self.width, self.channels, self.filters, self.groups)
        if min(sizes + self.kernel + self.strides + self.dilations) < 1:
            raise ValueError(f"a size of the layer is below 1: {self}")
        if min(self.padding[0] + self.padding[1]) < 0:
            raise ValueError(f"padding is {self.padding}; allowed are 0 or more pixels")
        if self.channels % self.groups or self.filters % self.groups:
            raise ValueError(
                f"groups is {self.groups}; it must divide {self.channels} channels "
                f"and {self.filters} filters"
            )
        if min(self.output_size) < 1:
            raise ValueError(f"the kernel is larger than the padded input: {self}")

    @classmethod
    def convolution(
        cls,
        input_shape: tuple[int, int, int],
        kernel_shape: tuple[int, int, int, int],
        *,
        strides: Pair = (1, 1),
        padding: tuple[Pair, Pair] = ((0, 0), (0, 0)),
        dilations: Pair = (1, 1),
        groups: int = 1,
    ) -> LinearShape:
        """The layer of these array shapes; ValueError where they do not fit together."""
        height, width, channels = input_shape
        kernel_height, kernel_width, kernel_channels, filters = kernel_shape
        if groups < 1 or kernel_channels * groups != channels:
            raise ValueError(
                f"a kernel over {kernel_channels} channels in {groups} groups does not fit an "
                f"input of {channels}"
            )
        return cls(
            height, width, channels, (kernel_height, kernel_width), filters,
            strides, padding, dilations, groups,
        )  # fmt: skip

    @classmethod
    def dense(cls, n_in: int, n_out: int) -> LinearShape:
        """A fully connected layer; ValueError where a size is below 1."""
        return cls(1, 1, n_in, (1, 1), n_out, is_dense=True)

    @property
    def output_size(self) -> Pair:
        """Height and width of the output."""
        (top, bottom), (left, right) = self.padding
        rows = self.height + top + bottom - (self.kernel[0] - 1) * self.dilations[0] - 1
        columns = self.width + left + right - (self.kernel[1] - 1) * self.dilations[1] - 1
        return rows // self.strides[0] + 1, columns // self.strides[1] + 1

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one input: (n_in,) where dense, else (height, width, channels)."""
        return (self.channels,) if self.is_dense else (self.height, self.width, self.channels)

    @property
    def output_shape(self) -> tuple[int, ...]:
        """The shape of one output: (n_out,) where dense, else (rows, columns, filters)."""
        return (self.filters,) if self.is_dense else (*self.output_size, self.filters)

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """The shape of the weights as Keras keeps them.

        (n_in, n_out) where dense, else (kernel rows, kernel columns, channels of a group, filters).
        """
        if self.is_dense:
            return self.channels, self.filters
        return *self.kernel, self.channels // self.groups, self.filters

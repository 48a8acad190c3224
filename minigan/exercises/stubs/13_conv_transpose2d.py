"""Exercise conv_transpose2d (scaffold, lesson convolution): the convolution's input gradient, a generator's layer.

What      The transposed convolution: every pixel of x stamps its kernel, weighted with the pixel, on a larger
          image, and where stamps overlap they add up. It is what takes the gradient of a convolution's output
          back to its input.
Start     conv2d is  y = W u  with the patches u = unfold(image) as columns. Going back, the gradient of the
          patches is W^T g (as in `matmul`), and that of the image adds each patch to where it was cut from,
          which is what `fold` does. Here x plays the part of g.
Shapes    x (N, C, H, W), weight (C, O, K, K), bias (O,) or None -> (N, O, *size). The weight's first axis is
          that of x, as for g above. (O K K, C) @ (N, C, H W) -> (N, O K K, H W), which are the columns that
          fold adds up.
Example   K = 2, stride 2, all weights 1: each pixel becomes a block of 2 x 2 equal pixels.
Use       reshape(x, shape), .T of a matrix, @, fold(columns, size, kernel_size, stride, padding), and +, all
          on tensors.

Check it with `minigan exercise check conv_transpose2d`; stuck? `minigan exercise hint conv_transpose2d`.
"""

from minigan import Tensor
from minigan.ops import fold, reshape


def conv_transpose2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int = 1,
    padding: int = 0,
    output_padding: int | tuple[int, int] = 0,
) -> Tensor:
    """The transposed convolution of x (N, C, H, W) with weight (C, O, K, K) -> (N, O, *size)."""
    kernel_size = weight.shape[2]
    extra = (output_padding, output_padding) if isinstance(output_padding, int) else output_padding
    size = tuple((x.shape[2 + i] - 1) * stride - 2 * padding + kernel_size + extra[i] for i in (0, 1))
    raise NotImplementedError("not written yet")

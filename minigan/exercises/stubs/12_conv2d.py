"""Exercise conv2d (core, lesson convolution): a convolution is a matrix product.

What      Slide O kernels over each (padded) image; for each n, o, i, j
              y[n, o, i, j] = b[o] + sum over c, k, l of  weight[o, c, k, l] image[n, c, s i + k, s j + l].
Start     For one place (i, j) this is the product of a row of weights with the patch there. `unfold` makes
          every patch a column, in the order c, k, l. So put the weights into rows in the same order, and
          multiply.
Shapes    x (N, C, H, W), weight (O, C, K, K), bias (O,) or None -> (N, O, OH, OW). unfold: (N, C K K, L) with
          L = OH OW.   (O, C K K) @ (N, C K K, L) -> (N, O, L): the product is taken for each n.
Example   A kernel of size 1 with weight 2 doubles the image; K = 3 with padding 1 and stride 1 leaves H and W
          as they are.
Use       unfold, reshape(x, shape), @ and +, all on tensors: then the derivatives come by themselves. A bias
          (O,) fits images as reshape(bias, (1, -1, 1, 1)).

Check it with `minigan exercise check conv2d`; stuck? `minigan exercise hint conv2d`.
"""

from minigan import Tensor
from minigan.ops import reshape, unfold


def conv2d(x: Tensor, weight: Tensor, bias: Tensor | None = None, stride: int = 1, padding: int = 0) -> Tensor:
    """The convolution of images (N, C, H, W) with kernels (O, C, K, K) -> (N, O, OH, OW)."""
    kernel_size = weight.shape[2]
    oh = (x.shape[2] + 2 * padding - kernel_size) // stride + 1
    ow = (x.shape[3] + 2 * padding - kernel_size) // stride + 1
    raise NotImplementedError("not written yet")

"""Exercise unfold (scaffold, lesson convolution): cut an image into patches.

What      Copy every patch that a kernel of size K would cover into a column of a matrix. Then a convolution
          is a matrix product, as `conv2d` will be. Write the value; its derivative is here: `fold`
          adds patches back to where they came from.
Start     Output place (i, j) covers the rows  s i ... s i + K - 1  and columns  s j ... s j + K - 1  of the
          padded image, with the stride s. For one place (k, l) inside the kernel, all patches together are
          one strided slice:
              images[:, :, k : k + s OH : s, l : l + s OW : s]         of shape (N, C, OH, OW).
Shapes    x (N, C, H, W) -> (N, C K K, L) with L = OH OW patches. Row c K K + k K + l of a column is pixel (k,
          l) of channel c; column i OW + j is the patch at place (i, j).
Example   One image of one channel, 3 x 3, holding 0 ... 8, with K = 2: the first column is [0, 1, 3, 4], and
          there are 4 columns.
Use       Two loops over k and l, and NumPy slices; a loop over all pixels in Python would be far too slow to
          train with.

Check it with `minigan exercise check unfold`; stuck? `minigan exercise hint unfold`.
"""

import numpy as np

from minigan import Tensor
from minigan.ops import fold
from minigan.tensor import record


def unfold(x: Tensor, kernel_size: int, stride: int = 1, padding: int = 0) -> Tensor:
    """Every patch of the images as a column: (N, C, H, W) -> (N, C K K, L)."""
    n, c, h, w = x.shape
    oh = (h + 2 * padding - kernel_size) // stride + 1
    ow = (w + 2 * padding - kernel_size) // stride + 1
    images = np.pad(x.data, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    patches = np.empty((n, c, kernel_size, kernel_size, oh, ow), x.dtype)
    for k in range(kernel_size):
        for m in range(kernel_size):
            # patches[:, :, k, m] = ...
            raise NotImplementedError("not written yet")
    columns = patches.reshape(n, c * kernel_size**2, oh * ow)
    return record(columns, (x, lambda g, y: fold(g, x.shape[2:], kernel_size, stride, padding)))

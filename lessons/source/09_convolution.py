# %% [markdown]
# # Convolution and its transpose
#
# - **Goals**: write convolution as patches times a matrix; find its derivatives; see where checkerboards come from.
# - **You need**: *Tensors and the chain rule* (the derivative of a matrix product) and *Checking gradients*.
# - **Run time**: under 40 seconds on two cores.
#
# The discriminator of a DCGAN is made of convolutions, the generator of *transposed* convolutions. One is the gradient
# of the other. So whoever understands one of them has both.

# %%
import numpy as np

from minigan import Tensor, grad, gradcheck, ops, plain, plots
from minigan.data import load_mnist
from minigan.exercises import check
from minigan.ops import fold, reshape
from minigan.tensor import record

rng = np.random.default_rng(0)

# %% [markdown]
# ## What a convolution computes
#
# A kernel of $K \times K$ weights slides over the image. At each place it is multiplied with the patch below it, number
# by number, and the products are added up:
#
# $$y_{ij} = \sum_{k,l} x_{i+k,\, j+l}\; w_{kl}$$
#
# For several channels, add over them too. The stride $s$ says how far the kernel moves from one place to the next, and
# the padding $p$ how many rows and columns of zeros are put around the image first. (In full, with both and with all
# axes, the formula stands at the top of `minigan/ops/conv.py`.)
#
# Here is a kernel that answers "is it brighter to the right than to the left?", and one for "below than above".

# %%
images, labels = load_mnist("test")  # (10000, 1, 28, 28), from -1 to 1
digit = Tensor(images[:1])  # (1, 1, 28, 28)
right = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]], np.float32)
kernels = Tensor(np.stack([right, right.T])[:, None])  # (2, 1, 3, 3): two outputs, one input channel
edges = ops.conv2d(digit, kernels).numpy() / 8  # (1, 2, 26, 26), from -1 to 1
plots.beside(plots.image_grid(digit.numpy()), plots.image_grid(edges[:, :1]), plots.image_grid(edges[:, 1:]))

# %% [markdown]
# Left the image; in the middle "brighter to the right"; on the right "brighter below". Grey is 0: no edge. White is
# yes, black the opposite: darker to the right, or darker below. The results have 26 rows and columns, because a 3x3
# kernel has 26 places in 28 pixels.
#
# A network is not given such kernels: it learns them. For that we need the derivatives in $x$ and in $w$, and a way to
# compute all of it.
#
# ## Two ways to compute it
#
# Nobody loops over $i, j, k, l$ in Python. **The first way** loops over the few places $(k, l)$ of the kernel only: for
# one of them, all outputs together meet a shifted part of the image. This is the formula, and `minigan/ops/conv.py` is
# written so.

# %%
x, y = digit.numpy()[0, 0], np.zeros((26, 26), np.float32)
for k, m in np.ndindex(3, 3):
    y += x[k : k + 26, m : m + 26] * right[k, m]
print("largest difference from conv2d:", np.abs(y / 8 - edges[0, 0]).max())

# %% [markdown]
# **The second way** takes all places at once: copy each patch into a row of a matrix. Then all sums are one matrix
# product. Take a 4x4 image and a 3x3 kernel: there are 2x2 places, so 4 patches of 9 numbers.

# %%
small = Tensor(np.arange(16.0).reshape(1, 1, 4, 4))
patches = ops.unfold(small, 3)  # (1, 9, 4): here each patch is a column
plots.beside(
    plots.heat_map(small.numpy()[0, 0], "column", "row", "the image"),
    plots.heat_map(patches.numpy()[0].T, "pixel of the patch (3 x 3)", "patch", "its patches, one per row"),
)

# %% [markdown]
# Find the 5 of the image in the matrix: it is there four times, because four patches contain it. The first row is the
# patch at the top left, 0 1 2 / 4 5 6 / 8 9 10.
#
# The rows times the kernel, written as a column of 9 numbers, are the 4 numbers of the output:

# %%
w = Tensor(rng.standard_normal((1, 1, 3, 3)))
product = patches.numpy()[0].T @ w.numpy().reshape(9)  # (4, 9) @ (9,) -> (4,)
print("patches @ kernel:", product)
print("conv2d:          ", ops.conv2d(small, w).numpy().reshape(-1))

# %% [markdown]
# So a convolution is a dense layer that is applied to every patch. minigan has both ways: `minigan/ops/conv.py` is the
# one to read, and `minigan/fast/conv.py`, with large products of patches, is the one that runs. Inside `with plain():`
# the first one runs. Both must give the same, up to rounding. Here is a layer of a DCGAN:

# %%
numbers = np.random.default_rng(1)
x = Tensor(numbers.standard_normal((64, 32, 14, 14), dtype=np.float32))
kernels = Tensor(numbers.standard_normal((64, 32, 4, 4), dtype=np.float32))
by_patches = ops.conv2d(x, kernels, stride=2, padding=1).numpy()  # (64, 64, 7, 7)
with plain():
    by_places = ops.conv2d(x, kernels, stride=2, padding=1).numpy()
print(f"largest number {np.abs(by_places).max():.0f}, largest difference {np.abs(by_patches - by_places).max():.0e}")

# %% [markdown]
# **Going back.** The derivative of copying is adding: a value that is used several times gets the sum of its gradients.
# So the gradient of each patch is added back to the place it was cut from. `ops.fold` does that. Give each copy the
# gradient 1, and every pixel learns how often it was used:

# %%
ones = Tensor(np.ones((1, 9, 4)))  # a gradient of 1 for each number of the matrix
counts = ops.fold(ones, (4, 4), 3).numpy()[0, 0]
plots.heat_map(counts, "column", "row", "in how many patches?")

# %% [markdown]
# ## Exercise: unfold
#
# Hint: for one place $(k, m)$ inside the kernel, the pixels of *all* patches together are one slice of the images that
# starts at row $k$ and column $m$ and has a step of `stride`. (Every exercise is a file as well: `minigan exercise
# start` lays them out in the folder `exercises`, this one as `unfold`.)


# %% exercise="unfold"
def unfold(x: Tensor, kernel_size: int, stride: int = 1, padding: int = 0) -> Tensor:
    """Every patch of the images as a column: x (N, C, H, W) -> (N, C K K, L), with L = OH OW patches."""
    n, c, h, w = x.shape
    oh = (h + 2 * padding - kernel_size) // stride + 1
    ow = (w + 2 * padding - kernel_size) // stride + 1
    images = np.pad(x.data, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    patches = np.empty((n, c, kernel_size, kernel_size, oh, ow), x.dtype)
    for k in range(kernel_size):
        for m in range(kernel_size):
            # patches[:, :, k, m] = ...   of shape (N, C, OH, OW)
            ### BEGIN SOLUTION
            patches[:, :, k, m] = images[:, :, k : k + stride * oh : stride, m : m + stride * ow : stride]
            ### END SOLUTION
    columns = patches.reshape(n, c * kernel_size**2, oh * ow)
    return record(columns, (x, lambda g, y: fold(g, x.shape[2:], kernel_size, stride, padding)))


# %% check="unfold"
check("unfold", unfold)

# %% [markdown]
# ## Exercise: conv2d
#
# Hint: put the weights into rows in the same order as the patches' columns, multiply, give the result its shape. Use
# `ops.unfold`, `reshape`, `@` and `+` on tensors, and the derivatives come by themselves. A bias `(O,)` fits images as
# `reshape(bias, (1, -1, 1, 1))`.


# %% exercise="conv2d"
def conv2d(x: Tensor, weight: Tensor, bias: Tensor | None = None, stride: int = 1, padding: int = 0) -> Tensor:
    """x (N, C, H, W), weight (O, C, K, K), bias (O,) or None -> (N, O, OH, OW).

    (O, C K K) @ (N, C K K, L) -> (N, O, L), where L = OH OW.
    """
    kernel_size = weight.shape[2]
    oh = (x.shape[2] + 2 * padding - kernel_size) // stride + 1
    ow = (x.shape[3] + 2 * padding - kernel_size) // stride + 1
    ### BEGIN SOLUTION
    rows = reshape(weight, (weight.shape[0], -1))
    y = reshape(rows @ ops.unfold(x, kernel_size, stride, padding), (x.shape[0], weight.shape[0], oh, ow))
    return y if bias is None else y + reshape(bias, (1, -1, 1, 1))
    ### END SOLUTION


# %% check="conv2d"
check("conv2d", conv2d)

# %% [markdown]
# ## A convolution is one big matrix
#
# Each output is a weighted sum of pixels. So with $x$ and $y$ written as columns of numbers there is a matrix $A$ with
# $y = A x$. To see it, convolve images that have a single 1: each gives one column of $A$.

# %%
units = Tensor(np.eye(16).reshape(16, 1, 4, 4))  # 16 images, each with a 1 in another place
nine = Tensor(np.arange(1.0, 10).reshape(1, 1, 3, 3))  # a kernel with easy numbers: 1 ... 9
A = ops.conv2d(units, nine).numpy().reshape(16, 4).T  # (4, 16)
plots.heat_map(A, "pixel of the input (4 x 4)", "pixel of the output (2 x 2)", "A: the kernel 1 ... 9, shifted")

# %% [markdown]
# Compare with a dense layer from 16 to 4 numbers, which has 64 free weights. Here most are 0, and the others are the
# same 9 weights in each row. That is all that is special about a convolution: it looks near by (zeros), and it does the
# same everywhere (shared weights).
#
# As for every matrix product: if $y = A x$ and $g$ is the gradient at $y$, then the gradient at $x$ is $A^\top g$. So
# the input gradient of a convolution is the multiplication by the **transposed** matrix. Column by column of $A^\top$:
# each output pixel gives its $g$, times the kernel, to the patch that it came from. **It stamps the kernel on the
# image, and where stamps overlap they add up.** As a layer of its own, this is the *transposed convolution*:

# %%
g = Tensor(rng.standard_normal((1, 1, 2, 2)))
stamped = ops.conv_transpose2d(g, nine)  # (1, 1, 2, 2) -> (1, 1, 4, 4)
print("same as A' g:", np.allclose(stamped.numpy().reshape(16), A.T @ g.numpy().reshape(4)))

small.requires_grad = True
(slope,) = grad((ops.conv2d(small, nine) * g).sum(), small)  # the gradient at y is g
print("same as the gradient at x:", np.allclose(slope.numpy(), stamped.numpy()))

# %% [markdown]
# **Question: does the transposed convolution undo the convolution?** No. It takes the *shape* back, from 2x2 to 4x4,
# not the values: $A^\top A$ is not the identity. The old name "deconvolution" promises too much.

# %%
back = ops.conv_transpose2d(ops.conv2d(small, nine), nine)
print(f"x[1, 1] = {small.numpy()[0, 0, 1, 1]:g}, but after going there and back it is {back.numpy()[0, 0, 1, 1]:g}")

# %% [markdown]
# ## The adjoint identity
#
# Nobody writes the matrix $A$ down: for one layer of a DCGAN it would have millions of entries. But there is a test for
# "these two functions are transposes of each other" without any matrix. For all $x$ and $y$
#
# $$\langle A x,\, y \rangle = (A x)^\top y = x^\top A^\top y = \langle x,\, A^\top y \rangle$$
#
# where $\langle a, b \rangle$ is the sum of all products $a_i b_i$. Random numbers are enough to check it.


# %%
def dot(a: Tensor, b: Tensor) -> float:
    """The sum of all products: one number."""
    return (a * b).sum().item()


x = Tensor(rng.standard_normal((2, 3, 8, 8)))  # N = 2, C = 3
w = Tensor(rng.standard_normal((5, 3, 4, 4)))  # O = 5, C = 3
y = Tensor(rng.standard_normal((2, 5, 4, 4)))  # what conv2d gives with stride 2, padding 1
print("<A x, y>  =", dot(ops.conv2d(x, w, None, 2, 1), y))
print("<x, A' y> =", dot(x, ops.conv_transpose2d(y, w, None, 2, 1)))

# %% [markdown]
# ## The triangle
#
# The convolution is linear in $w$ too, and so the gradient at $w$ is a transpose as well: `conv_weight` multiplies
# pixels by upstream gradients and adds over all places. The same number can be written in a third way:

# %%
print("<w, conv_weight(x, y)> =", dot(w, ops.conv_weight(x, y, (4, 4), 2, 1)))

# %% [markdown]
# Behind all three stands one sum over all places where a pixel $x$, a weight $w$ and an output $y$ meet: $\sum
# x_{i+k,\,j+l}\; w_{kl}\; y_{ij}$. Each function adds over two of them and leaves the third. So the derivatives of
# each function are the other two, for ever: three functions are enough, and gradients of gradients come for free.
#
# | function | gradient at the first operand | at the second |
# |---|---|---|
# | `y = conv2d(x, w)` | `conv_transpose2d(g, w)` | `conv_weight(x, g)` |
# | `x = conv_transpose2d(y, w)` | `conv2d(g, w)` | `conv_weight(g, y)` |
# | `w = conv_weight(x, y)` | `conv_transpose2d(y, g)` | `conv2d(x, g)` |

# %%
gradcheck(lambda x, w: ops.conv2d(x, w, stride=2, padding=1), x[:1, :1], w[:2, :1], order=2)

# %% [markdown]
# ## Exercise: conv_transpose2d
#
# Hint: `conv2d` was unfold, then a product. Its transpose is the transposed product, then `fold`. Here `x` plays the
# part of $g$.


# %% exercise="conv_transpose2d"
def conv_transpose2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int = 1,
    padding: int = 0,
    output_padding: int | tuple[int, int] = 0,
) -> Tensor:
    """x (N, C, H, W), weight (C, O, K, K), bias (O,) or None -> (N, O, *size).

    (O K K, C) @ (N, C, H W) -> (N, O K K, H W): columns for fold(columns, size, kernel_size, stride, padding).
    """
    kernel_size = weight.shape[2]
    extra = (output_padding, output_padding) if isinstance(output_padding, int) else output_padding
    size = tuple((x.shape[2 + i] - 1) * stride - 2 * padding + kernel_size + extra[i] for i in (0, 1))
    ### BEGIN SOLUTION
    rows = reshape(weight, (weight.shape[0], -1))
    columns = rows.T @ reshape(x, (x.shape[0], x.shape[1], -1))
    y = fold(columns, size, kernel_size, stride, padding)
    return y if bias is None else y + reshape(bias, (1, -1, 1, 1))
    ### END SOLUTION


# %% check="conv_transpose2d"
check("conv_transpose2d", conv_transpose2d)

# %% [markdown]
# ## Sizes
#
# The padded image has $H + 2p$ rows. The last place of the kernel starts at row $H + 2p - K$, and there is one place
# every $s$ rows:
#
# $$\text{conv2d: } OH = \left\lfloor \frac{H + 2p - K}{s} \right\rfloor + 1
# \qquad \text{transposed: } OH = (H - 1)\, s - 2p + K + \text{output padding}$$
#
# The second is the first solved for $H$. Rounding down loses something: with $s = 2$ two sizes lead to the same $OH$.
# The *output padding* (0 or 1) says which of them is meant.

# %%
print("kernel stride padding   28 becomes   and back")
for kernel, stride, padding in [(3, 1, 1), (5, 1, 0), (3, 2, 1), (4, 2, 1)]:
    k = Tensor(np.ones((1, 1, kernel, kernel), np.float32))
    there = ops.conv2d(digit, k, None, stride, padding)
    again = ops.conv_transpose2d(there, k, None, stride, padding)
    print(f"{kernel:6} {stride:6} {padding:7} {there.shape[2]:12} {again.shape[2]:10}")

# %% [markdown]
# Kernel 3 with stride 2 does not come back to 28 without an output padding of 1. **Kernel 4, stride 2, padding 1
# exactly halves and doubles every even size.** The DCGAN uses nothing else. It has one more advantage, which the next
# picture shows.
#
# ## Checkerboards
#
# A transposed convolution with stride 2 stamps a kernel at every second pixel. How many stamps does each output pixel
# get? Let all inputs and all weights be 1, and the layer counts for us.


# %%
def coverage(kernel: int, padding: int) -> np.ndarray:
    """How many stamps each output pixel gets, for a 4x4 input and stride 2."""
    weight = Tensor(np.ones((1, 1, kernel, kernel)))
    return ops.conv_transpose2d(Tensor(np.ones((1, 1, 4, 4))), weight, None, 2, padding).numpy()[0, 0]


plots.beside(
    plots.heat_map(coverage(3, 0), "column", "row", "stamps: kernel 3, stride 2"),
    plots.heat_map(coverage(4, 1), "column", "row", "stamps: kernel 4, stride 2"),
)

# %% [markdown]
# With kernel 3, pixels get 1, 2 or 4 stamps, in a checkered pattern. With kernel 4 all pixels inside get 4: as 4
# is 2 strides, every pixel lies under 2 stamps along each axis. (At the border there are fewer in both.)
#
# Real weights are random at the start. Then more stamps mean a larger variance, and two such layers on top of each
# other multiply the pattern. Below, 300 random kernels after 100 others, and the standard deviation of what comes
# out, along one row in the middle of the image:


# %%
def two_layers(kernel: int, padding: int) -> np.ndarray:
    """The standard deviation of the pixels of one row, after two transposed convolutions with random weights."""
    x = Tensor(np.ones((1, 1, 6, 6)))
    for channels, outputs in ((1, 100), (100, 300)):
        weight = Tensor(rng.standard_normal((channels, outputs, kernel, kernel)))
        x = ops.conv_transpose2d(x, weight, None, 2, padding)
    deviation = x.numpy()[0].std(axis=0)  # (H, W): over the 300 outputs
    row = deviation[len(deviation) // 2, 6:18]  # 12 pixels
    return row / row.mean()


rows = {"kernel 3, stride 2": two_layers(3, 0), "kernel 4, stride 2": two_layers(4, 1)}
plots.lines(
    {name: (range(6, 18), row) for name, row in rows.items()},
    "column",
    "standard deviation / its mean",
    markers=True,
    ylim=(0, 1.5),
)

# %% [markdown]
# With kernel 3 every fourth pixel is a third weaker than the mean, and its neighbours are stronger. With kernel 4 the
# row is level to within 5 percent. Training can learn against such a pattern, but it has to, in every layer; a kernel
# size that is a multiple of the stride does not begin with it (Odena et al., "Deconvolution and checkerboard
# artifacts", 2016). The weights that lie under one pixel can still differ from those under the next: early pictures of
# a DCGAN show a fine pattern with kernel 4 too, and lose it in training.
#
# ## Break it: flip the kernel
#
# In mathematics a convolution turns the kernel round: $y_i = \sum_k x_{i-k} w_k$. What networks call convolution does
# not (its exact name is cross-correlation). Mixing both up is an old mistake: someone turns the kernel round in the
# derivative, but not in the value.


# %%
def flipped(x: Tensor, w: Tensor) -> Tensor:
    """conv2d, with the kernel turned round in the gradient of x."""
    return record(
        ops.conv2d(x, w).data,
        (x, lambda g, y: ops.conv_transpose2d(g, w[:, :, ::-1, ::-1])),  # wrong: it must be w
        (w, lambda g, y: ops.conv_weight(x, g, w.shape[2:])),
    )


x, w = Tensor(rng.standard_normal((1, 1, 5, 5))), Tensor(rng.standard_normal((1, 1, 3, 3)))
y = Tensor(rng.standard_normal((1, 1, 3, 3)))
print("<A x, y>                  =", dot(ops.conv2d(x, w), y))
print("<x, A' y>                 =", dot(x, ops.conv_transpose2d(y, w)))
print("<x, A' y>, w turned round =", dot(x, ops.conv_transpose2d(y, w[:, :, ::-1, ::-1])))

# %% [markdown]
# The identity does not hold any more: what carries the gradient back is not the transpose of $A$. The gradient check
# sees it too, and finds what happened:

# %%
report = gradcheck(flipped, x, w)
report

# %% [markdown]
# What would training do with it? Take an unknown 8x8 image, convolve it, and look for the image by gradient descent,
# once with each gradient.

# %%
truth = Tensor(rng.standard_normal((1, 1, 8, 8)))
losses = {}
for name, convolve in [("right", ops.conv2d), ("flipped", flipped)]:
    guess, losses[name] = Tensor(np.zeros((1, 1, 8, 8)), requires_grad=True), []
    for _ in range(60):
        difference = convolve(guess, w) - ops.conv2d(truth, w)  # (1, 1, 6, 6)
        loss = (difference * difference).mean()
        guess.data -= 0.5 * grad(loss, guess)[0].numpy()
        losses[name].append(loss.item())
plots.lines({name: (range(60), loss) for name, loss in losses.items()}, "step", "loss", log="y")

# %% [markdown]
# With the right gradient the loss falls below 0.01. With the other it falls for a few steps, as if all were well, and
# then grows to thousands. The value of the layer is right, no shape is wrong, nothing raises an error.
#
# One more warning. Test with a kernel that looks the same after the turn, and the mistake is invisible:

# %%
blur = np.array([[[[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]]]])  # (1, 1, 3, 3)
gradcheck(flipped, x, blur)

# %% [markdown]
# The check passes, and the code is wrong. Symmetric, constant or all-ones test data hide mistakes; random numbers do
# not.
#
# ## What you can now do
#
# - Write a convolution as patches times a matrix, and say what its shape will be.
# - Derive the gradients of a convolution from the transposed matrix, and test them with the adjoint identity.
# - Choose kernel and stride of a generator so that every pixel gets equally many stamps.
#
# **Next:** *Batch norm and the DCGAN* adds batch norm to these layers, and trains them on real digits.

"""The same functions, quicker: threads and blocks, fused passes over arrays, kernels for a GPU.

No file of the operations, layers, losses or papers imports this folder. It enters its versions in the table
(`minigan/table.py`), each under the name of the plain function that it equals up to rounding; the tests hold the two
together. In plain mode (MINIGAN_PLAIN=1, or `with minigan.plain():`) none of it runs.

threads.py      several cores, blocks that fit the cache, matrix products
conv.py         convolution through all patches in one matrix
elementwise.py  leaky ReLU, Adam, averages and a loss in few passes
norm.py         batch norm in few passes
steps.py        training steps: their threads, and one pass of D where two are not needed
kernels.py      the same on a GPU, each in one launch
derivatives.py  derivatives that are quick, and as the plain operation has them where they are differentiated again
"""

from minigan.fast import conv, elementwise, norm, steps, threads

__all__ = ["conv", "elementwise", "norm", "steps", "threads"]

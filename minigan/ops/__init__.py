"""Differentiable operations. Read shape.py first, then math.py, linear.py, conv.py and norm.py; protocols.py last.

Tensor stands below the operations and cannot know them, so its operators and methods are hung on it here.
"""

# fmt: off
import operator

# ruff: noqa: F401, I001  (short lists, rather than a name a line)
from minigan.ops.shape import broadcast_to, concatenate, getitem, reshape, sum, transpose
from minigan.ops.math import add, div, mul, neg, power, sub
from minigan.ops.math import abs, exp, log, maximum, minimum, sqrt, where
from minigan.ops.math import leaky_relu, relu, sigmoid, softplus, tanh
from minigan.ops.math import astype, logsumexp, max, mean
from minigan.ops.linear import linear, matmul
from minigan.ops.conv import conv, conv1d, conv2d, conv3d, conv_weight, fold, unfold
from minigan.ops.conv import conv_transpose, conv_transpose1d, conv_transpose2d, conv_transpose3d
from minigan.ops.norm import batch_norm
from minigan.ops import protocols
from minigan.tensor import Tensor

Tensor.__add__, Tensor.__radd__ = add, lambda a, b: add(b, a)
Tensor.__sub__, Tensor.__rsub__ = sub, lambda a, b: sub(b, a)
Tensor.__mul__, Tensor.__rmul__ = mul, lambda a, b: mul(b, a)
Tensor.__truediv__, Tensor.__rtruediv__ = div, lambda a, b: div(b, a)
Tensor.__pow__, Tensor.__rpow__ = power, lambda a, b: power(b, a)
Tensor.__matmul__, Tensor.__rmatmul__ = matmul, lambda a, b: matmul(b, a)
Tensor.__neg__, Tensor.__abs__, Tensor.__getitem__ = neg, abs, getitem
Tensor.T = property(transpose)
for _method in (abs, astype, exp, log, max, mean, reshape, sigmoid, sqrt, sum, tanh, transpose):
    setattr(Tensor, _method.__name__, _method)

Tensor.__bool__, Tensor.__float__, Tensor.__format__ = protocols.is_true, protocols.number, protocols.as_text
Tensor.__int__ = lambda x: int(protocols.number(x))
Tensor.__round__ = lambda x, digits=None: round(protocols.number(x), digits)
for _name in ("eq", "ne", "lt", "le", "gt", "ge"):
    setattr(Tensor, f"__{_name}__", protocols.comparison(getattr(operator, _name)))
Tensor.__array__ = protocols.to_array
Tensor.__array_function__, Tensor.__array_ufunc__ = protocols.array_function, protocols.array_ufunc

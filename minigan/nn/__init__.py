"""Layers and networks. Read module.py first, then linear.py, conv.py, norm.py, the small ones, and init.py."""

# ruff: noqa: F401
from minigan.nn import init
from minigan.nn.activation import LeakyReLU, ReLU, Sigmoid, Tanh
from minigan.nn.conv import Conv1d, Conv2d, Conv3d, ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from minigan.nn.linear import Linear
from minigan.nn.module import Module, Parameter, Sequential
from minigan.nn.norm import BatchNorm1d, BatchNorm2d, BatchNorm3d
from minigan.nn.shape import Flatten, Reshape

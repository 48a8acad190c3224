"""Layers and networks. Read module.py first, then layers.py and init.py."""

# ruff: noqa: F401, I001
from minigan.nn import init
from minigan.nn.layers import BatchNorm1d, BatchNorm2d, Conv2d, ConvTranspose2d, Flatten, Linear, Reshape
from minigan.nn.layers import LeakyReLU, ReLU, Sigmoid, Tanh
from minigan.nn.module import Module, Parameter, Sequential

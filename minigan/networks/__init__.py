"""Networks that several papers share, each a plain list of layers."""

from minigan.networks.dcgan import dcgan_discriminator, dcgan_generator
from minigan.networks.mlp import mlp_discriminator, mlp_generator

__all__ = ["dcgan_discriminator", "dcgan_generator", "mlp_discriminator", "mlp_generator"]

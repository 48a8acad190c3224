"""What a paper's file says about itself: its name, its data and its settings, read from its signature and docstring."""

import inspect
import re
from dataclasses import dataclass
from typing import Any

from minigan.gan import GAN


@dataclass(frozen=True)
class Setting:
    """A keyword-only argument of a paper's `__init__`."""

    default: Any
    help: str


@dataclass(frozen=True)
class About:
    """A paper in a few words."""

    new: str  # what is new in it, a sentence
    paper: str  # such as "Goodfellow et al., 2014"
    needs: list[str]  # the arrays that a step takes
    settings: dict[str, Setting]

    @property
    def takes(self) -> str:
        """These arrays in words; `samples` are images or points."""
        return " and ".join("images or points" if need == "samples" else need for need in self.needs)


def about(gan: type[GAN]) -> About:
    """Read a paper's class. Its docstring's first line ends in "(authors, year)."; a setting has a line "name  help".

    Raises ValueError where that is not so, or where a setting has no line.
    """
    doc = inspect.getdoc(gan) or ""
    first = re.fullmatch(r"(.+?)\.? \(([^()]+, \d{4})\)\.", doc.partition("\n")[0])
    if not first:
        raise ValueError(f"{gan.__name__}: the first line of its docstring must end in '(authors, year).'")
    helps = dict(re.findall(r"^(\w+) {2,}(\S.*)$", doc, re.MULTILINE))
    settings = {}
    for name, parameter in inspect.signature(gan).parameters.items():
        if parameter.kind is parameter.KEYWORD_ONLY:
            if name not in helps:
                raise ValueError(f"{gan.__name__}: its docstring needs a line '{name}  help', with two spaces or more")
            if parameter.default is parameter.empty:
                raise ValueError(f"{gan.__name__}: the setting {name} needs a default")
            settings[name] = Setting(parameter.default, helps[name])
    return About(first[1], first[2], gan.needs(), settings)

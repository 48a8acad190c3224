"""Checkpoints in safetensors files: named arrays and short notes, and nothing that could be executed."""

import contextlib
import errno
import json
import os
import secrets
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save


def save_checkpoint(path: Path, arrays: dict[str, np.ndarray], notes: dict[str, Any]) -> None:
    """Write arrays and notes (for JSON) to `path`, so that a kill at any instant leaves the old file or the new one."""
    arrays = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    header = {"checksum": _checksum(arrays, notes), "notes": notes}
    write_file(path, save(arrays, {"minigan": json.dumps(header)}))  # one entry: the order of several would vary


def load_checkpoint(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Arrays and notes of a checkpoint. Raises FileNotFoundError, or ValueError for a damaged file."""
    if not path.is_file():
        raise FileNotFoundError(f"there is no checkpoint {path}")
    path.open("rb").close()  # if that is not allowed, safe_open would say that there is no such file
    try:
        with safe_open(path, framework="numpy") as file:
            header = json.loads((file.metadata() or {}).get("minigan", "{}"))
            arrays = {name: file.get_tensor(name) for name in file.keys()}
        if not isinstance(header, dict) or header.get("checksum") != _checksum(arrays, header.get("notes")):
            raise ValueError("its checksum is wrong, or missing as in those of an older minigan")
        return arrays, header["notes"]
    # TypeError and AttributeError are for types that NumPy lacks, such as bfloat16.
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError, RecursionError, MemoryError) as error:
        raise ValueError(f"{path} is not a whole checkpoint ({error}): put back a whole copy of it") from None


def _checksum(arrays: dict[str, np.ndarray], notes: dict[str, Any]) -> int:
    """A number that changes with any name, shape, type or value."""
    checksum = zlib.crc32(json.dumps(notes, sort_keys=True).encode())
    for name, array in sorted(arrays.items()):
        checksum = zlib.crc32(f"{name} {array.dtype} {array.shape}".encode(), checksum)
        checksum = zlib.crc32(array.tobytes(), checksum)
    return checksum


def write_file(path: Path, content: Any) -> None:
    """Write bytes or text to `path` at once: to a file beside it, which then takes its name.

    On an error, such as a full disk, or on Ctrl-C the old file stays and the half-written one is removed. Its name is
    new, so that two processes never write to the same. Raises OSError for a pipe or a device, such as /dev/null, which
    the new file would take the place of.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        raise FileExistsError(errno.EEXIST, "is a pipe or a device: give the name of a file", str(path))
    content = content.encode() if isinstance(content, str) else content
    beside = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
    try:
        with open(beside, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # on the disk before it takes the name
        os.replace(beside, path)
    except BaseException as error:  # Ctrl-C too
        with contextlib.suppress(OSError):  # there may be none yet
            beside.unlink()
        if isinstance(error, OSError):
            error.filename = str(path)  # a full disk does not say which file it was
        raise

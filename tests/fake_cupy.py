"""A strict stand-in for CuPy that computes on the CPU: what would go wrong, or be slow, on a GPU goes wrong here.

Its arrays are not NumPy's. Like CuPy's they refuse every implicit conversion and every mix with host arrays, and offer
only what CuPy 14 offers (`cupy_api.json`, see `test_gpu.py`). It counts copies from the host to the device, reads of
the device by the host, and launches. Kernels are compiled with the C++ compiler, where there is one, and run for real.
"""

import copy
import ctypes
import functools
import json
import operator
import shutil
import subprocess
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np

__version__ = "14 (a stand-in on the CPU)"

API = json.loads(Path(__file__).with_name("cupy_api.json").read_text())  # function -> "ufunc" or its parameters
METHODS = set(API["ndarray"])
COMPILER = shutil.which("g++") or shutil.which("clang++")
SCALARS = (bool, int, float, np.generic)
UPLOADS = ("asarray", "array", "ascontiguousarray")  # these take arrays of the host

counts = SimpleNamespace(copies=0, reads=0, launches=0)


def reset():
    """Count from zero."""
    counts.copies = counts.reads = counts.launches = 0


def wrap(result, inputs=(), out=None):
    """A result of NumPy as a device array; a launch, unless it is a view of an input."""
    if isinstance(result, list | tuple):
        return type(result)(wrap(part, inputs, out) for part in result)
    if not isinstance(result, np.ndarray | np.generic):
        return result
    result = np.asarray(result)
    if result.dtype.kind not in "biuf":
        raise TypeError(f"CuPy has no arrays of {result.dtype}")
    is_view = any(isinstance(x, np.ndarray) and np.may_share_memory(x, result) for x in inputs)
    if out is not None or not is_view:
        counts.launches += 1
    return out if out is not None else ndarray(result)


def unwrap(x, uploads=False):
    """The hidden arrays in arguments; a TypeError for arrays of the host."""
    if isinstance(x, ndarray):
        return x._array
    if isinstance(x, np.ndarray):
        if not uploads:
            raise TypeError("Unsupported type <class 'numpy.ndarray'>: a host array met a device array")
        counts.copies += 1
        return x
    if isinstance(x, tuple | list):
        return type(x)(unwrap(part, uploads) for part in x)
    if isinstance(x, slice):
        return slice(*(None if part is None else operator.index(part) for part in (x.start, x.stop, x.step)))
    return x


class ndarray(np.lib.mixins.NDArrayOperatorsMixin):
    """An array on the device. The operators come from NumPy's mixin and arrive in `__array_ufunc__`."""

    __cuda_array_interface__ = "by which CuPy's arrays are known"

    def __init__(self, array):
        self._array = array

    def __array__(self, *args, **kwargs):
        raise TypeError(
            "Implicit conversion to a NumPy array is not allowed. Please use `.get()` to construct a NumPy array."
        )

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **kwargs):
        if method != "__call__" or API.get(ufunc.__name__) is None:
            return NotImplemented  # CuPy has no ufunc.at, .reduce and .outer by way of NumPy
        for x in inputs:
            if not isinstance(x, (ndarray, np.ndarray, *SCALARS)):
                return NotImplemented
        hidden = unwrap(inputs)
        if out is not None:
            kwargs["out"] = unwrap(out)
        return wrap(getattr(ufunc, method)(*hidden, **kwargs), (), out[0] if out else None)

    def __array_function__(self, function, types, args, kwargs):
        path = [*function.__module__.split(".")[1:], function.__name__]
        parameters = API.get(".".join(path))
        if parameters is None:
            return NotImplemented
        if parameters != "ufunc" and "kwargs" not in parameters:
            unknown = set(kwargs) - set(parameters)
            if unknown:
                raise TypeError(f"CuPy's {function.__name__} has no parameter {unknown.pop()}")
        if kwargs.get("writeable"):
            raise NotImplementedError("Writeable views are not supported.")
        if function.__name__ in ("empty", "empty_like"):  # memory of a pool: no launch
            return ndarray(function(*unwrap(args), **kwargs))
        out = kwargs.get("out")
        uploads = function.__name__ in UPLOADS
        hidden = unwrap(args, uploads)
        kwargs = {name: unwrap(value, uploads) for name, value in kwargs.items()}
        return wrap(function(*hidden, **kwargs), _arrays(hidden), out)

    def __getattr__(self, name):
        """Methods and attributes of NumPy's arrays that CuPy's have too."""
        if name.startswith("__") or name not in METHODS:
            raise AttributeError(f"CuPy's arrays have no {name}")
        attribute = getattr(self._array, name)
        if not callable(attribute):
            return wrap(attribute, (self._array,))

        def method(*args, **kwargs):
            return wrap(attribute(*unwrap(args), **{k: unwrap(v) for k, v in kwargs.items()}), (self._array,))

        return method

    def get(self):
        """A copy on the host."""
        counts.reads += 1
        return self._array.copy()

    def item(self):
        return self.get().item()

    def tolist(self):
        return self.get().tolist()

    def __getitem__(self, index):
        return wrap(self._array[unwrap(index, uploads=True)], (self._array,))  # CuPy brings an index over by itself

    def __setitem__(self, index, value):
        counts.launches += 1
        self._array[unwrap(index, uploads=True)] = unwrap(value)

    def __len__(self):
        return len(self._array)

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def __bool__(self):
        return bool(self.get())

    def __float__(self):
        return float(self.get())

    def __int__(self):
        return int(self.get())

    def __index__(self):
        return operator.index(self.get())

    def __repr__(self):
        return repr(self.get())

    def __deepcopy__(self, memo):
        return ndarray(copy.deepcopy(self._array))


def _arrays(x):
    if isinstance(x, tuple | list):
        return [array for part in x for array in _arrays(part)]
    return [x] if isinstance(x, np.ndarray) else []


def asarray(a, dtype=None):
    """The array on the device: a copy from the host, unless it is there already."""
    if isinstance(a, ndarray):
        return a if dtype is None or a.dtype == np.dtype(dtype) else a.astype(dtype)
    counts.copies += 1
    array = np.array(a, dtype)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"Unsupported dtype {array.dtype}")
    return ndarray(array)


def array(a, dtype=None):
    """A new array on the device."""
    if not isinstance(a, ndarray):
        return asarray(a, dtype)
    counts.launches += 1
    return ndarray(np.array(a._array, dtype))


class add:
    """Of CuPy's own ufuncs, the one that is called by name."""

    @staticmethod
    def at(array, index, values):
        counts.launches += 1
        np.add.at(array._array, unwrap(index, uploads=True), unwrap(values))


cuda = SimpleNamespace(
    runtime=SimpleNamespace(
        getDeviceCount=lambda: 1,
        driverGetVersion=lambda: 13000,
        getDeviceProperties=lambda number: {"name": b"a stand-in", "totalGlobalMem": 2**30},
    )
)


@functools.cache
def compiled(inputs, outputs, operation, real):
    """The operation as a loop over all elements, compiled: a function of (size, array of pointers)."""
    lines = []
    for number, parameter in enumerate(_parameters(f"{inputs}, {outputs}")):
        kind = {"T": real, "int64": "long long"}[parameter.kind]
        if parameter.raw:
            lines.append(f"const {kind}* {parameter.name} = (const {kind}*)arguments[{number}];")
        else:
            constant = "" if parameter.name in [p.name for p in _parameters(outputs)] else "const "
            lines.append(f"{constant}{kind}& {parameter.name} = (({kind}*)arguments[{number}])[i];")
    source = (
        "#include <cmath>\nusing std::sqrt; using std::exp; using std::log1p;\n"
        f"typedef {real} T;\n"
        'extern "C" void run(long long size, void** arguments) {\n'
        "for (long long i = 0; i < size; ++i) {\n" + "\n".join(lines) + f"\n{operation};\n}}}}\n"
    )
    folder = Path(tempfile.mkdtemp())
    (folder / "kernel.cpp").write_text(source)
    command = [COMPILER, "-O1", "-ffp-contract=off", "-shared", "-fPIC", "-o", "kernel.so", "kernel.cpp"]
    subprocess.run(command, cwd=folder, check=True)
    run = ctypes.CDLL(str(folder / "kernel.so")).run
    shutil.rmtree(folder)
    return run


def _parameters(text):
    """`raw T x, int64 n` -> objects with raw, kind and name."""
    words = [part.split() for part in text.split(",")]
    return [SimpleNamespace(raw=w[0] == "raw", kind=w[-2], name=w[-1]) for w in words]


class ElementwiseKernel:
    """`operation` in C for every element, as CuPy's."""

    def __init__(self, in_params, out_params, operation, name):
        self.texts = in_params, out_params, operation
        self.inputs, self.outputs, self.name = _parameters(in_params), _parameters(out_params), name

    def __call__(self, *args):
        counts.launches += 1
        parameters = [*self.inputs, *self.outputs]
        if len(args) != len(parameters):
            raise TypeError(f"Wrong number of arguments for {self.name!r}: give the outputs too")
        for parameter, x in zip(parameters, args, strict=True):
            if not isinstance(x, (ndarray, *SCALARS)):
                raise TypeError(f"Unsupported type {type(x)} for {parameter.name}")
        real = {x.dtype for p, x in zip(parameters, args, strict=True) if p.kind == "T" and isinstance(x, ndarray)}
        if len(real) != 1:
            raise TypeError(f"Type is mismatched. {self.name}: {real}")
        (real,) = real
        kinds = [real if parameter.kind == "T" else np.dtype(np.int64) for parameter in parameters]
        outs = args[len(self.inputs) :]
        shape = outs[0].shape
        hidden = []
        for parameter, kind, x in zip(parameters, kinds, args, strict=True):
            array = np.asarray(unwrap(x), kind)
            if not parameter.raw:
                if np.broadcast_shapes(array.shape, shape) != shape:
                    raise ValueError(f"{self.name}: {parameter.name} {array.shape} does not broadcast to {shape}")
                array = np.broadcast_to(array, shape)
            elif not array.flags.c_contiguous:
                raise ValueError(f"{self.name}: the raw array {parameter.name} has gaps")
            hidden.append(np.array(array, order="C"))
        run = compiled(*self.texts, {4: "float", 8: "double"}[real.itemsize])
        pointers = (ctypes.c_void_p * len(hidden))(*[array.ctypes.data for array in hidden])
        run(ctypes.c_longlong(outs[0].size), pointers)
        for out, array in zip(outs, hidden[len(self.inputs) :], strict=True):
            out._array[...] = array
        return outs[0] if len(outs) == 1 else outs


class ReductionKernel:
    """A sum of `term` over an axis, as CuPy's with "a + b"."""

    def __init__(self, in_params, out_params, term, reduce, post, identity, name):
        assert (reduce, post, identity, out_params) == ("a + b", "y = a", "0", "T y")
        self.terms = ElementwiseKernel(in_params, "T out_term", f"out_term = {term}", name)

    def __call__(self, *args, axis):
        shape = np.broadcast_shapes(*[x.shape for x in args if isinstance(x, ndarray)])
        dtype = next(x.dtype for x in args if isinstance(x, ndarray))
        return ndarray(np.asarray(self.terms(*args, ndarray(np.empty(shape, dtype)))._array.sum(axis=axis)))

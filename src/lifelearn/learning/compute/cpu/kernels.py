"""What is in native/, from Python: compiled once for this machine, then called on tensors.

Only for bfloat16 on a processor, where torch makes several passes of each (docs/decisions/0015). `of` gives None for
any other tensor, and without a C compiler; callers then say the same in torch. What was compiled before is loaded only
where nobody but this user can have written it. Knows nothing of layers.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from logging import getLogger
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lifelearn.learning.private import why_not_ours

# Sums may be taken in any order; infinities and NaN stay what they are.
FLAGS = (
    "-O3", "-march=native", "-fopenmp", "-fPIC", "-fno-math-errno", "-fno-trapping-math", "-fno-signed-zeros",
    "-fassociative-math", "-freciprocal-math",
)  # fmt: skip
NATIVE = Path(__file__).with_name("native")
# What it was made of, and its own hash: a file that was cut off or changed is not what its name says.
NAME = re.compile(r"kernels-([0-9a-f]{16})-([0-9a-f]{64})\.so")

log = getLogger(__name__)


class Kernels:
    """The compiled library. Tensors are bfloat16 on a processor; what is not dense is copied first."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library

    def norm(self, x: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
        """RMSNorm over the last of x's dimensions; and 1 / root mean square, float32 [rows, 1]."""
        x = x.contiguous()
        y, inverse = torch.empty_like(x), x.new_empty(*x.shape[:-1], 1, dtype=torch.float32)
        self._call("norm", x, weight, y, inverse, inverse.numel(), x.shape[-1], eps)
        return y, inverse

    def norm_backward(self, dy: Tensor, x: Tensor, weight: Tensor, inverse: Tensor) -> Tensor:
        dy, x = dy.contiguous(), x.contiguous()
        dx = torch.empty_like(x)
        self._call("norm_backward", dy, x, weight, inverse, dx, inverse.numel(), x.shape[-1])
        return dx

    def swiglu(self, x: Tensor) -> Tensor:
        """silu(gate) · up of x = [gate, up], [N, 2·M]: [N, M]."""
        x = x.contiguous()
        y = x.new_empty(len(x), x.shape[1] // 2)
        self._call("swiglu", x, y, *y.shape)
        return y

    def swiglu_backward(self, dy: Tensor, x: Tensor) -> Tensor:
        dy, x = dy.contiguous(), x.contiguous()
        dx = torch.empty_like(x)
        self._call("swiglu_backward", dy, x, dx, *dy.shape)
        return dx

    def turn(self, x: Tensor, cos: Tensor, sin: Tensor, turned: int, direction: int) -> Tensor:
        """Rotary positions on the first `turned` heads of x [N, A, D]; taken off again where direction is -1."""
        x = x.contiguous()
        y = torch.empty_like(x)
        count, heads, size = x.shape
        self._call("turn", x, cos.contiguous(), sin.contiguous(), y, count, heads, turned, size // 2, float(direction))
        return y

    def gather(self, x: Tensor, which: Tensor) -> Tensor:
        """The rows of x [N, D] that `which`, int64 [M], names, zeros where it names N: [M, D]."""
        x = x.contiguous()
        y = x.new_empty(len(which), x.shape[1])
        self._call("gather", x, which, y, len(which), *x.shape)
        return y

    def causal_softmax(self, x: Tensor, width: int, scale: float) -> Tensor:
        """Attention's weights from scores x [B, G·L, T], in place; see attention.py. width: L."""
        self._call("causal_softmax", x, x.shape[0] * x.shape[1], width, x.shape[2], scale)
        return x

    def causal_softmax_backward(self, dx: Tensor, weights: Tensor, width: int, scale: float) -> Tensor:
        """The scores' gradient from that of the weights, in place."""
        self._call("causal_softmax_backward", dx, weights, dx.shape[0] * dx.shape[1], width, dx.shape[2], scale)
        return dx

    def log_softmax(self, x: Tensor) -> Tensor:
        """Of x [N, V], rounded to bfloat16."""
        x = x.contiguous()
        y = torch.empty_like(x)
        self._call("log_softmax", x, y, *x.shape)
        return y

    def forward_kl(self, logits_NV: Tensor, teacher_NV: Tensor, gradient: bool) -> tuple[Tensor, Tensor | None]:
        """KL(teacher ‖ student), float32 [N], and its gradient for the logits, if that is wanted."""
        logits_NV, teacher_NV = logits_NV.contiguous(), teacher_NV.contiguous()
        kl_N = torch.empty(len(logits_NV))
        gradient_NV = torch.empty_like(logits_NV) if gradient else None
        self._call("forward_kl", logits_NV, teacher_NV, kl_N, gradient_NV, *logits_NV.shape)
        return kl_N, gradient_NV

    def fill_levels(self, weight: Tensor, levels: Tensor, scales: Tensor, bits: int) -> bool:
        """See levels.py; whether the weight has no more bits."""
        return bool(self._call("fill_levels", weight.contiguous(), levels, scales, *weight.shape, bits))

    def decode(self, layers: Any, head: Any, shape: Any, final_norm: Tensor, *tensors: Tensor) -> None:
        """See decoding.py. Raises MemoryError."""
        if self._call("decode", layers, head, final_norm, shape, *tensors):
            raise MemoryError("no memory for a step of decoding")

    def _call(self, name: str, *arguments: Any) -> int:
        found: int = getattr(self._library, name)(*map(_plain, arguments))
        return found


_kernels: Kernels | None = None


def of(*tensors: Tensor) -> Kernels | None:
    """The kernels, if they are loaded and all of these tensors are theirs to compute with."""
    if _kernels is None or any(x.dtype != torch.bfloat16 or x.device.type != "cpu" for x in tensors):
        return None
    return _kernels


def load(folder: Path) -> str | None:
    """Compiles the kernels into `folder`, unless they are there, and uses them in this process from now on.

    A folder that others can write is left alone, and they are compiled for this process only. Gives None, or why there
    are none.
    """
    global _kernels  # noqa: PLW0603  a library is the process's, like torch's own kernels
    if _kernels is None:
        try:
            # By the open file, which is the one that was looked at, whatever has its name by now. It stays open: to
            # the system's loader the same name would be the same library.
            _kernels = Kernels(ctypes.CDLL(f"/proc/self/fd/{_library(folder)}", mode=os.RTLD_NOW))
        except OSError as error:
            return str(error)
        except subprocess.CalledProcessError as error:
            return f"the C compiler failed: {error.stderr.strip()[:300]}"
    return None


def _library(folder: Path) -> int:
    """The open file of the library for these sources, these flags and this processor. Raises OSError,
    CalledProcessError."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    sources = [path.read_text("utf-8") for path in sorted(NATIVE.iterdir())]
    parts = (*sources, *FLAGS, torch.__version__, str(compiler), _processor())
    made_of = hashlib.sha256("|".join(parts).encode()).hexdigest()[:16]
    with _trusted(folder) as place:
        if place is not None and (kept := _kept(place, made_of)) is not None:
            return kept
        if compiler is None:
            raise OSError("there is no C compiler")
        with tempfile.TemporaryDirectory(prefix="lifelearn-kernels-") as work:
            library = _compiled(compiler, Path(work))
            if place is not None:
                try:
                    _keep(place, made_of, library.read_bytes())
                except OSError as error:
                    _not_used(folder, f"it cannot be written ({error.strerror or error})")
                else:
                    kept = _kept(place, made_of)
                    if kept is not None:
                        return kept
            return os.open(library, os.O_RDONLY | os.O_NOFOLLOW)


@contextmanager
def _trusted(folder: Path) -> Iterator[int | None]:
    """The open folder, made where it is missing; None, which the log explains, where others could write it."""
    handle = None
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not (why := why_not_ours(folder.lstat())):
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            why = why_not_ours(os.fstat(handle))
    except OSError as error:
        why = error.strerror or str(error)
    if why:
        _not_used(folder, why)
    try:
        yield None if why else handle
    finally:
        if handle is not None:
            os.close(handle)


def _not_used(folder: Path, why: str) -> None:
    log.warning(
        "Compiled code is neither taken from %s nor kept there: %s. It is compiled again by each process.", folder, why
    )


def _kept(place: int, made_of: str) -> int | None:
    """The open file of the library in a folder, if it is ours and as it was made."""
    for name in sorted(os.listdir(place)):
        found = NAME.fullmatch(name)
        if found is None or found[1] != made_of:
            continue
        with suppress(OSError):  # a link, for one
            handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=place)
            if not why_not_ours(os.fstat(handle)) and _sha256(handle) == found[2]:
                return handle
            os.close(handle)
        log.warning("The compiled %s is not as it was made: it is removed, and compiled again.", name)
        with suppress(OSError):
            os.unlink(name, dir_fd=place)
    return None


def _sha256(handle: int) -> str:
    with os.fdopen(handle, "rb", closefd=False) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _keep(place: int, made_of: str, library: bytes) -> None:
    """Whole or not at all, and on the disk before it has its name. Raises OSError."""
    name = f"kernels-{made_of}-{hashlib.sha256(library).hexdigest()}.so"
    partial = f".{name}.{os.getpid()}"
    with suppress(FileNotFoundError):  # of a process that was killed and had the same number
        os.unlink(partial, dir_fd=place)
    try:
        handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=place)
        with os.fdopen(handle, "wb") as file:
            file.write(library)
            file.flush()
            os.fsync(handle)
        os.replace(partial, name, src_dir_fd=place, dst_dir_fd=place)
    except OSError:
        with suppress(OSError):
            os.unlink(partial, dir_fd=place)
        raise


def _compiled(compiler: str, work: Path) -> Path:
    """Compiles into a folder that nobody else can write. Raises CalledProcessError."""
    # OpenMP is left to be found in torch, which has it loaded: a second one would have threads of its own. And
    # FLAGS are not the linker's, who would have the processor round tiny numbers to zero everywhere.
    made = {source: work / f"{source.stem}.o" for source in sorted(NATIVE.glob("*.c"))}
    library = work / "kernels.so"
    commands = [[*FLAGS, "-c", str(source), "-o", str(path)] for source, path in made.items()]
    commands.append(["-shared", *map(str, made.values()), "-o", str(library), "-lm"])
    for command in commands:
        subprocess.run([compiler, *command], check=True, capture_output=True, text=True)  # noqa: S603
    return library


def _processor() -> str:
    """What -march=native depends on."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor()
    return "".join(sorted({line for line in lines if line.startswith(("flags", "model name", "Features"))}))


def _plain(argument: Any) -> Any:
    """As C takes it."""
    match argument:
        case Tensor():
            return ctypes.c_void_p(argument.data_ptr())
        case None:
            return ctypes.c_void_p()
        case int():
            return ctypes.c_int64(argument)
        case float():
            return ctypes.c_float(argument)
        case _:
            return argument

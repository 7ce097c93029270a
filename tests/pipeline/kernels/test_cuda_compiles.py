"""The CUDA text compiles for the devices we name, without one."""

from __future__ import annotations

import re

import pytest

from pipeline.backend import cuda_source
from pipeline.kernels.device import KERNELS


def cubin(source: str, architecture: int) -> bytes:
    nvrtc = pytest.importorskip("cupy_backends.cuda.libs.nvrtc", reason="cupy (group nvrtc) is not installed")
    program = nvrtc.createProgram(source, "profile.cu", (), ())
    try:
        nvrtc.compileProgram(program, (f"--gpu-architecture=sm_{architecture}", "--std=c++17"))
        assert nvrtc.getProgramLog(program).strip("\0\n ") == ""
        return nvrtc.getCUBIN(program)
    except nvrtc.NVRTCError:
        raise AssertionError(nvrtc.getProgramLog(program)) from None
    finally:
        nvrtc.destroyProgram(program)


@pytest.mark.parametrize("architecture", [80, 90])
def test_compiles(architecture):
    code = cubin(cuda_source(), architecture)
    assert code[:4] == b"\x7fELF"
    for name in KERNELS:
        assert name.encode() in code


def test_a_broken_text_is_reported_with_the_compilers_words():
    with pytest.raises(AssertionError, match="undefined"):
        cubin(cuda_source().replace("atomicAdd(target + column", "atomicSubtract(target + column"), 90)


def test_the_text_uses_nothing_that_the_cpu_cannot_run_in_any_order():
    code = re.sub(r"//.*", "", cuda_source())
    assert not re.search(r"__syncthreads|__shared__|__shfl|__ballot|double|atomic(?!Add)", code)
    # Atomics add integers only; floats are read, never added up.
    assert not re.search(r"float\s+\w+\s*=", code)
    assert set(re.findall(r"void (\w+)\(", code)) == set(KERNELS)

"""Choosing a backend, and the gate before tensor cores: the device is imitated by numpy."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from pipeline import backend
from pipeline.backend import CudaTextBackend, CupyBackend, NumpyBackend, get_backend
from pipeline.errors import OutOfBounds, UsageError


def test_names():
    assert isinstance(get_backend("numpy"), NumpyBackend)
    with pytest.raises(UsageError, match="there is no backend 'torch'; choose numpy, cupy or auto"):
        get_backend("torch")


def test_without_a_device_auto_is_numpy_and_cupy_says_what_is_missing(monkeypatch):
    monkeypatch.setattr(backend, "_cupy", lambda: None)
    assert get_backend("auto").name == "numpy"
    with pytest.raises(UsageError, match=r"needs cupy and a CUDA device; install distillwatch\[gpu\]"):
        get_backend("cupy")


class Device:
    """A cupy of numpy arrays whose product is as wrong as it is told to be."""

    def __init__(self, wrong_in: set[str]) -> None:
        self.modes: list[str] = []
        self._wrong_in = wrong_in
        kinds = SimpleNamespace(
            COMPUTE_TYPE_TF32="tf32",
            COMPUTE_TYPE_FP32="fp32",
            set_compute_type=lambda _, kind: self.modes.append(kind),
        )
        self._core = SimpleNamespace(_routines_linalg=kinds)
        self.float32, self.ascontiguousarray = np.float32, np.ascontiguousarray

    def asarray(self, array):
        return array

    def asnumpy(self, array):
        # One product off by one, as a lost bit would show.
        return array + (np.arange(array.size).reshape(array.shape) == 0) * (self.modes[-1] in self._wrong_in)


def on(device, *, tensor_cores):
    made = CupyBackend.__new__(CupyBackend)
    CudaTextBackend.__init__(made, device, None)
    made._tensor_cores = tensor_cores
    return made


def test_float32_is_set_and_checked_even_if_nobody_asked(small_parameters):
    device = Device(set())
    on(device, tensor_cores=False).prepare(small_parameters)
    assert device.modes == ["fp32"]


def test_tensor_cores_are_used_only_if_exact(small_parameters):
    exact, inexact = Device(set()), Device({"tf32"})
    on(exact, tensor_cores=True).prepare(small_parameters)
    assert exact.modes == ["tf32"]
    fallen_back = on(inexact, tensor_cores=True)
    fallen_back.prepare(small_parameters)
    fallen_back.prepare(small_parameters)
    assert inexact.modes == ["tf32", "fp32"]


def test_a_device_that_is_inexact_in_float32_is_refused(small_parameters):
    with pytest.raises(OutOfBounds, match="use the numpy backend"):
        on(Device({"fp32"}), tensor_cores=False).prepare(small_parameters)


def test_topics_alone_equal_the_topics_of_the_sums(backend, small_parameters, vectors_of, fresh_sums):
    q = vectors_of(np.random.default_rng(3), 300, small_parameters.space)
    out = fresh_sums(300, 1, 8)
    backend.sums(q, np.array([0]), small_parameters, out)
    topic, norm2 = np.full(300, -1), np.full(300, -1)
    backend.topics(q, small_parameters, topic, norm2)
    np.testing.assert_array_equal(topic, out.topic)
    np.testing.assert_array_equal(norm2, out.norm2)

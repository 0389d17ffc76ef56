#!/usr/bin/env bash
# Builds hessay._cuda with warnings as errors, links it and runs its tests: those that need a GPU say that they were
# skipped where there is none. usage: tools/check_cuda.sh PYTHON   (a Python with hessay's test dependencies installed)
# What this Python has is used, so that a machine without a network can do it: hessay._core, else it is built too;
# pybind11 with cmake and ninja on PATH, else they are fetched.
# HESSAY_NVIDIA_ROOT: a folder with NVIDIA's include/ and lib/; by default cuBLAS is fetched from PyPI.
# HESSAY_CUDA_ARCHITECTURES: as cmake names them, for a build on one card; by default all.
set -euo pipefail
cd "$(dirname "$0")/.."
python=$1
core=$("$python" -c 'import hessay._core as core; print(core.__file__)' 2>/dev/null || true)
tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
builder=$python
if ! { command -v cmake && command -v ninja && "$python" -c 'import pybind11'; } >/dev/null 2>&1; then
  "$python" -m venv "$tools/venv"
  builder=$tools/venv/bin/python
  "$builder" -m pip install --quiet --constraint constraints.txt cmake ninja pybind11
  export PATH="$tools/venv/bin:$PATH"
fi
nvidia=${HESSAY_NVIDIA_ROOT:-}
if [ -z "$nvidia" ]; then
  "$builder" -m pip install --quiet --no-deps --constraint constraints.txt --target "$tools/nvidia" nvidia-cublas
  nvidia=$tools/nvidia/nvidia/cu13
fi
rm -rf build/cuda # a cache would name build tools of an earlier run
cmake -S . -B build/cuda -G Ninja -DCMAKE_BUILD_TYPE=Release -DHESSAY_WERROR=ON -DHESSAY_CUDA=ON \
  -DHESSAY_NVIDIA_ROOT="$nvidia" -DCMAKE_PREFIX_PATH="$("$builder" -m pybind11 --cmakedir)" \
  -DPython_EXECUTABLE="$(command -v "$python")" \
  ${HESSAY_CUDA_ARCHITECTURES:+-DCMAKE_CUDA_ARCHITECTURES="$HESSAY_CUDA_ARCHITECTURES"}
cmake --build build/cuda --target _cuda $([ -n "$core" ] || echo _core)
[ -n "$core" ] || core=$(echo build/cuda/_core*.so)

site=build/cuda/site
rm -rf "$site"
mkdir -p "$site"
cp -r python/hessay "$site/"
rm -f "$site"/hessay/_c*.so
cp "$core" build/cuda/cuda/_cuda*.so "$site/hessay/"
export PYTHONPATH="$site${PYTHONPATH:+:$PYTHONPATH}" LD_LIBRARY_PATH="$nvidia/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
"$python" -c 'import hessay._cuda as cuda; print("hessay._cuda imports;", cuda.device_count(), "devices")'
"$python" -m pytest -q -p no:cacheprovider tests/test_cuda_module.py tests/test_cuda_gpu*.py
"$python" -m pytest -q -p no:cacheprovider -m gpu tests/test_device_public.py

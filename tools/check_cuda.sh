#!/usr/bin/env bash
# Builds hessay._cuda with warnings as errors, links it and runs its tests: those that need a GPU say that they were
# skipped where there is none. usage: tools/check_cuda.sh PYTHON   (a Python with hessay's test dependencies installed)
# HESSAY_NVIDIA_ROOT: a folder with NVIDIA's include/ and lib/; by default cuBLAS is fetched from PyPI.
set -euo pipefail
cd "$(dirname "$0")/.."
python=$1
core=$("$python" -c 'import hessay._core as core; print(core.__file__)') # of the installation: only the module is built
tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
"$python" -m venv "$tools/venv"
"$tools/venv/bin/python" -m pip install --quiet --constraint constraints.txt cmake ninja pybind11
nvidia=${HESSAY_NVIDIA_ROOT:-}
if [ -z "$nvidia" ]; then
  "$tools/venv/bin/python" -m pip install --quiet --no-deps --constraint constraints.txt --target "$tools/nvidia" nvidia-cublas
  nvidia=$tools/nvidia/nvidia/cu13
fi
export PATH="$tools/venv/bin:$PATH"
rm -rf build/cuda # a cache would name build tools of an earlier run
cmake -S . -B build/cuda -G Ninja -DCMAKE_BUILD_TYPE=Release -DHESSAY_WERROR=ON -DHESSAY_CUDA=ON \
  -DHESSAY_NVIDIA_ROOT="$nvidia" -DCMAKE_PREFIX_PATH="$("$tools/venv/bin/python" -m pybind11 --cmakedir)" \
  -DPython_EXECUTABLE="$(command -v "$python")"
cmake --build build/cuda --target _cuda

site=build/cuda/site
rm -rf "$site"
mkdir -p "$site"
cp -r python/hessay "$site/"
rm -f "$site"/hessay/_c*.so
cp "$core" build/cuda/cuda/_cuda*.so "$site/hessay/"
export PYTHONPATH="$site" LD_LIBRARY_PATH="$nvidia/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
"$python" -c 'import hessay._cuda as cuda; print("hessay._cuda imports;", cuda.device_count(), "devices")'
"$python" -m pytest -q -p no:cacheprovider tests/test_cuda_module.py tests/test_cuda_gpu*.py

#!/usr/bin/env bash
# Builds hessay._cuda with warnings as errors and puts it beside the installed package. Usage: build_cuda.sh PYTHON
set -euo pipefail
cd "$(dirname "$0")/.."
python=$1
bin=$(dirname "$python")
"$python" -m pip install --quiet --constraint constraints.txt nvidia-cublas pybind11 cmake ninja
"$bin/cmake" -S . -B build/cuda -G Ninja -DCMAKE_MAKE_PROGRAM="$PWD/$bin/ninja" -DCMAKE_BUILD_TYPE=Release \
  -DHESSAY_CUDA=ON -DHESSAY_WERROR=ON -DPython_EXECUTABLE="$PWD/$python" \
  -DCMAKE_PREFIX_PATH="$("$python" -m pybind11 --cmakedir)" >/dev/null
"$bin/cmake" --build build/cuda --target _cuda
package=$(cd / && "$OLDPWD/$python" -c 'import importlib.util; print(importlib.util.find_spec("hessay").submodule_search_locations[0])')
cp build/cuda/cuda/_cuda*.so "$package"
cd / && "$OLDPWD/$python" -c 'import hessay.cuda; print("hessay._cuda is linked and loads;", len(hessay.cuda.devices()), "devices here")'

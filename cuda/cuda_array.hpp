#pragma once
#include "../cpp/bindings/dlpack.hpp"
#include "scratch.hpp"

#include <pybind11/pybind11.h>

#include <string>

namespace hessay::cuda {

namespace py = pybind11;

/// A Python array on a CUDA device, borrowed through DLPack for as long as this lives and ordered after the work
/// that its producer has on `stream`. Created and destroyed with the GIL held.
class CudaArray {
  public:
    /// stream  as cudaStream_t, 0 for the legacy default one. Throws DeviceError when the array is on no CUDA device,
    /// ShapeError when it speaks no DLPack or is read-only and to be written.
    CudaArray(py::handle object, std::string name, std::uintptr_t stream, bool write);
    CudaArray(const CudaArray&) = delete;
    CudaArray& operator=(const CudaArray&) = delete;
    ~CudaArray();

    int device() const { return tensor_->device.device_id; }
    const std::string& name() const { return name_; }
    bool is_float(int bits) const;

    /// The array as stored: (rows, cols) column-major, its first axis contiguous; one axis is one column.
    template <class T>
    MatrixView<T> matrix() const;

  private:
    Index dim(int axis) const { return tensor_->shape[axis]; }
    Index stride(int axis) const;

    std::string name_;
    dlpack::Managed* managed_ = nullptr;
    dlpack::ManagedVersioned* versioned_ = nullptr;
    dlpack::Tensor* tensor_ = nullptr;
};

} // namespace hessay::cuda

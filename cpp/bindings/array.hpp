#pragma once
#include "dlpack.hpp"
#include "hessay/error.hpp"
#include "hessay/view.hpp"

#include <pybind11/pybind11.h>

#include <string>
#include <utility>
#include <vector>

namespace hessay::bindings {

namespace py = pybind11;

enum class Access { read, write };

/// Any Python array with __dlpack__ (NumPy, torch, CuPy, JAX ...), borrowed without a copy for as long as this lives.
/// Created and destroyed with the GIL held.
class Array {
  public:
    /// name appears in errors. Throws ShapeError when the object is no CPU array, or is read-only and access is write;
    /// the producer's own refusal (torch: a tensor that requires grad) comes through as it is.
    Array(py::handle object, std::string name, Access access);
    Array(Array&& other) noexcept;
    Array(const Array&) = delete;
    Array& operator=(const Array&) = delete;
    ~Array();

    const std::string& name() const { return name_; }
    Index ndim() const { return tensor_->ndim; }
    Index dim(Index axis) const { return tensor_->shape[axis]; }
    std::string shape_text() const;
    bool is_float(int bits) const;

    /// The array as stored: a (rows, cols) column-major matrix; the first axis must be contiguous.
    template <class T>
    MatrixView<T> matrix() const;

    /// A C-contiguous array of any rank as the column-major matrix (last axis, all others).
    template <class T>
    MatrixView<T> rows() const;

    /// out <- this two-dimensional array, whatever its strides.
    template <class T>
    void copy_to(MatrixView<T> out) const;

  private:
    template <class T>
    T* pointer() const;
    Index stride(Index axis) const;

    std::string name_;
    dlpack::Managed* managed_ = nullptr;
    dlpack::ManagedVersioned* versioned_ = nullptr;
    dlpack::Tensor* tensor_ = nullptr;
};

/// Array(object, name, Access::read) for every element of a sequence.
std::vector<Array> arrays(const py::sequence& objects, const std::string& name);

} // namespace hessay::bindings

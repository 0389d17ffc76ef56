#include "cuda_array.hpp"

#include <cstring>
#include <type_traits>
#include <utility>

namespace hessay::cuda {

namespace {

#ifdef HESSAY_HOST_TWIN
constexpr int kDlpackHost = 1;

py::capsule export_capsule(py::handle object, const std::string& name, std::uintptr_t)
{
    const auto device = object.attr("__dlpack_device__")().cast<std::pair<int, int>>();
    require<DeviceError>(device.first == kDlpackHost, name, " lives on DLPack device type ", device.first);
    return object.attr("__dlpack__")(py::arg("max_version") = py::make_tuple(1, 0));
}
#else
constexpr int kDlpackCuda = 2, kDlpackCudaManaged = 13;

py::capsule export_capsule(py::handle object, const std::string& name, std::uintptr_t stream)
{
    require<ShapeError>(py::hasattr(object, "__dlpack__"), name, " must be an array that speaks DLPack, got ",
                        std::string(py::str(py::type::of(object))));
    const auto device = object.attr("__dlpack_device__")().cast<std::pair<int, int>>();
    require<DeviceError>(device.first == kDlpackCuda || device.first == kDlpackCudaManaged, name,
                         " lives on DLPack device type ", device.first, "; move it to a CUDA device first");
    const std::uintptr_t number = stream ? stream : 1; // DLPack: 0 is not allowed, 1 is the legacy default stream
    try {
        return object.attr("__dlpack__")(py::arg("stream") = number, py::arg("max_version") = py::make_tuple(1, 0));
    } catch (py::error_already_set& error) {
        if (!error.matches(PyExc_TypeError)) throw; // a producer older than DLPack 1.0 does not know max_version
    }
    return object.attr("__dlpack__")(py::arg("stream") = number);
}
#endif

} // namespace

CudaArray::CudaArray(py::handle object, std::string name, std::uintptr_t stream, bool write) : name_(std::move(name))
{
    py::capsule capsule = export_capsule(object, name_, stream);
    const char* kind = capsule.name();
    if (kind && std::strcmp(kind, "dltensor_versioned") == 0) {
        versioned_ = capsule.get_pointer<dlpack::ManagedVersioned>();
        capsule.set_name("used_dltensor_versioned");
        tensor_ = &versioned_->tensor;
        const auto major = versioned_->version.major;
        const bool refused = write && (versioned_->flags & dlpack::kReadOnly) != 0;
        if (major != 1 || refused) {
            if (versioned_->deleter) versioned_->deleter(versioned_);
            require<ShapeError>(major == 1, name_, " comes in DLPack version ", major, "; version 1 is understood");
            require<ShapeError>(false, name_, " is read-only; pass a writable array for an output");
        }
    } else {
        require<ShapeError>(kind && std::strcmp(kind, "dltensor") == 0, name_,
                            " gave a capsule that is no DLPack tensor");
        managed_ = capsule.get_pointer<dlpack::Managed>();
        capsule.set_name("used_dltensor");
        tensor_ = &managed_->tensor;
    }
}

CudaArray::~CudaArray()
{
    if (managed_ && managed_->deleter) managed_->deleter(managed_);
    if (versioned_ && versioned_->deleter) versioned_->deleter(versioned_);
}

bool CudaArray::is_float(int bits) const
{
    return tensor_->dtype.code == dlpack::kFloat && tensor_->dtype.bits == bits && tensor_->dtype.lanes == 1;
}

Index CudaArray::stride(int axis) const
{
    if (tensor_->strides) return tensor_->strides[axis];
    Index product = 1;
    for (int later = axis + 1; later < tensor_->ndim; ++later) product *= dim(later);
    return product;
}

template <class T>
MatrixView<T> CudaArray::matrix() const
{
    using Value = std::remove_const_t<T>;
    constexpr int kBits = 8 * sizeof(Value);
    require<ShapeError>(is_float(kBits), name_, " must be float", kBits, ", got DLPack type code ",
                        int(tensor_->dtype.code), " with ", int(tensor_->dtype.bits), " bits");
    require<ShapeError>(tensor_->ndim == 1 || tensor_->ndim == 2, name_, " must have one or two axes, got ",
                        tensor_->ndim);
    const bool flat = tensor_->ndim == 1;
    const Index rows = dim(0), cols = flat ? 1 : dim(1);
    if (rows == 0 || cols == 0) return {nullptr, rows, cols, rows};
    auto* data = reinterpret_cast<T*>(static_cast<char*>(tensor_->data) + tensor_->byte_offset);
    const Index column = cols <= 1 ? rows : stride(1);
    require<ShapeError>((rows <= 1 || stride(0) == 1) && column >= rows, name_,
                        " must be column-major (Fortran order) without overlap, got strides (", stride(0), ", ", column,
                        ") for shape (", rows, ", ", cols, "); in torch, make it as zeros(cols, rows).T");
    return {data, rows, cols, column};
}

template MatrixView<float> CudaArray::matrix<float>() const;
template MatrixView<double> CudaArray::matrix<double>() const;
template MatrixView<const float> CudaArray::matrix<const float>() const;
template MatrixView<const double> CudaArray::matrix<const double>() const;

} // namespace hessay::cuda

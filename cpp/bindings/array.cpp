#include "array.hpp"

#include <cstring>
#include <type_traits>

namespace hessay::bindings {

namespace {

py::capsule export_capsule(py::handle object, const std::string& name)
{
    require<ShapeError>(py::hasattr(object, "__dlpack__"), name, " must be an array that speaks DLPack, got ",
                        std::string(py::str(py::type::of(object))));
    const auto device = object.attr("__dlpack_device__")().cast<std::pair<int, int>>();
    require<ShapeError>(device.first == dlpack::kCpu, name, " lives on DLPack device type ", device.first,
                        "; move it to the CPU first");
    try {
        return object.attr("__dlpack__")(py::arg("max_version") = py::make_tuple(1, 0));
    } catch (py::error_already_set& error) {
        if (!error.matches(PyExc_TypeError)) throw; // a producer older than DLPack 1.0 does not know max_version
    }
    return object.attr("__dlpack__")();
}

template <class T>
const char* type_name()
{
    if (std::is_same_v<std::remove_const_t<T>, float>) return "float32";
    return std::is_same_v<std::remove_const_t<T>, double> ? "float64" : "int64";
}

} // namespace

Array::Array(py::handle object, std::string name, Access access) : name_(std::move(name))
{
    py::capsule capsule = export_capsule(object, name_);
    const char* kind = capsule.name();
    if (kind && std::strcmp(kind, "dltensor_versioned") == 0) {
        versioned_ = capsule.get_pointer<dlpack::ManagedVersioned>();
        capsule.set_name("used_dltensor_versioned");
        tensor_ = &versioned_->tensor;
        const bool read_only = (versioned_->flags & dlpack::kReadOnly) != 0;
        const auto major = versioned_->version.major;
        if (major != 1 || (access == Access::write && read_only)) {
            if (versioned_->deleter) versioned_->deleter(versioned_);
            require<ShapeError>(major == 1, name_, " comes in DLPack version ", major, "; version 1 is understood");
            require<ShapeError>(false, name_, " is read-only; pass a writable array for an output");
        }
    } else if (kind && std::strcmp(kind, "dltensor") == 0) {
        managed_ = capsule.get_pointer<dlpack::Managed>();
        capsule.set_name("used_dltensor");
        tensor_ = &managed_->tensor;
    } else {
        require<ShapeError>(false, name_, " gave a capsule that is no DLPack tensor");
    }
}

Array::Array(Array&& other) noexcept
    : name_(std::move(other.name_)), managed_(std::exchange(other.managed_, nullptr)),
      versioned_(std::exchange(other.versioned_, nullptr)), tensor_(std::exchange(other.tensor_, nullptr))
{
}

Array::~Array()
{
    if (managed_ && managed_->deleter) managed_->deleter(managed_);
    if (versioned_ && versioned_->deleter) versioned_->deleter(versioned_);
}

std::string Array::shape_text() const
{
    std::string text = "(";
    for (Index axis = 0; axis < ndim(); ++axis) text += (axis ? ", " : "") + std::to_string(dim(axis));
    return text + (ndim() == 1 ? ",)" : ")");
}

bool Array::is_float(int bits) const
{
    return tensor_->dtype.code == dlpack::kFloat && tensor_->dtype.bits == bits && tensor_->dtype.lanes == 1;
}

Index Array::stride(Index axis) const
{
    if (tensor_->strides) return tensor_->strides[axis];
    Index product = 1;
    for (Index later = axis + 1; later < ndim(); ++later) product *= dim(later);
    return product;
}

template <class T>
T* Array::pointer() const
{
    using Value = std::remove_const_t<T>;
    const auto& type = tensor_->dtype;
    const auto code = std::is_floating_point_v<Value> ? dlpack::kFloat : dlpack::kSignedInt;
    require<ShapeError>(type.code == code && type.bits == 8 * sizeof(Value) && type.lanes == 1, name_, " must be ",
                        type_name<T>(), ", got DLPack type code ", int(type.code), " with ", int(type.bits), " bits");
    return reinterpret_cast<T*>(static_cast<char*>(tensor_->data) + tensor_->byte_offset);
}

template <class T>
MatrixView<T> Array::matrix() const
{
    T* data = pointer<T>();
    require<ShapeError>(ndim() == 2, name_, " must have two axes, got shape ", shape_text());
    const Index rows = dim(0), cols = dim(1);
    if (rows == 0 || cols == 0) return {data, rows, cols, rows}; // producers give empty arrays any strides
    require<ShapeError>(rows <= 1 || stride(0) == 1, name_, " must be column-major (Fortran order), got strides (",
                        stride(0), ", ", stride(1), ") for shape ", shape_text());
    const Index column_stride = cols <= 1 ? rows : stride(1);
    require<ShapeError>(cols <= 1 || column_stride >= rows, name_, " has overlapping or reversed columns (stride ",
                        column_stride, "); make it contiguous");
    return {data, rows, cols, column_stride};
}

template <class T>
MatrixView<T> Array::rows() const
{
    T* data = pointer<T>();
    require<ShapeError>(ndim() >= 1, name_, " must have at least one axis");
    Index expected = 1, others = 1;
    bool empty = false;
    for (Index axis = 0; axis < ndim(); ++axis) empty = empty || dim(axis) == 0;
    for (Index axis = ndim() - 1; axis >= 0; --axis) {
        require<ShapeError>(empty || dim(axis) <= 1 || stride(axis) == expected, name_,
                            " must be C-contiguous (no reversed, broadcast or skipped axis), got stride ", stride(axis),
                            " on axis ", axis, " of shape ", shape_text());
        expected *= dim(axis);
        if (axis < ndim() - 1) others *= dim(axis);
    }
    return {data, dim(ndim() - 1), others, dim(ndim() - 1)};
}

template <class T>
void Array::copy_to(MatrixView<T> out) const
{
    const T* data = pointer<const T>();
    require<ShapeError>(ndim() == 2 && dim(0) == out.rows && dim(1) == out.cols, name_, " must have shape (", out.rows,
                        ", ", out.cols, "), got ", shape_text());
    for (Index j = 0; j < out.cols; ++j)
        for (Index i = 0; i < out.rows; ++i) out(i, j) = data[i * stride(0) + j * stride(1)];
}

std::vector<Array> arrays(const py::sequence& objects, const std::string& name)
{
    std::vector<Array> out;
    for (std::size_t i = 0; i < objects.size(); ++i)
        out.emplace_back(py::object(objects[i]), name + "[" + std::to_string(i) + "]", Access::read);
    return out;
}

template MatrixView<float> Array::matrix<float>() const;
template MatrixView<double> Array::matrix<double>() const;
template MatrixView<const float> Array::matrix<const float>() const;
template MatrixView<const double> Array::matrix<const double>() const;
template MatrixView<float> Array::rows<float>() const;
template MatrixView<double> Array::rows<double>() const;
template MatrixView<const float> Array::rows<const float>() const;
template MatrixView<const double> Array::rows<const double>() const;
template MatrixView<const std::int64_t> Array::rows<const std::int64_t>() const;
template void Array::copy_to<float>(MatrixView<float>) const;
template void Array::copy_to<double>(MatrixView<double>) const;

} // namespace hessay::bindings

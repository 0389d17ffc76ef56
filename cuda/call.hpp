#pragma once
#include "cuda_array.hpp"
#ifdef HESSAY_HOST_TWIN
#include "host_loops.hpp"
#else
#include "context.hpp"
#endif

#include <exception>
#include <memory>
#include <vector>

namespace hessay::cuda {

// The tests build the bindings once more over HostLoops, for arrays of the processor.
#ifdef HESSAY_HOST_TWIN
using Device = HostLoops;
#else
using Device = CudaContext;
#endif

/// Raises the Python twin of an exception.
inline void translate(std::exception_ptr pointer)
{
    const auto raise_twin = [](const char* name, const char* message) {
        PyErr_SetString(py::module_::import("hessay.errors").attr(name).ptr(), message);
    };
    try {
        if (pointer) std::rethrow_exception(pointer);
    } catch (const DeviceError& error) {
        raise_twin("DeviceError", error.what());
    } catch (const ShapeError& error) {
        raise_twin("ShapeError", error.what());
    } catch (const NonFinite& error) {
        raise_twin("NonFinite", error.what());
    } catch (const Error& error) {
        raise_twin("ArgumentError", error.what());
    }
}

using Stream = std::uintptr_t; // a cudaStream_t as a number, as torch hands it over

/// The arrays of one call from Python, all on one device, and the context there.
class Call {
  public:
    Call(Stream stream, const py::object& workspace) : stream_(stream)
    {
        if (workspace.is_none()) return;
        const MatrixView<double> view = array(workspace, "workspace", true).matrix<double>();
        require<ShapeError>(view.cols == 1 || view.data == nullptr, "workspace must have one axis");
        workspace_ = view.data;
        bytes_ = static_cast<std::size_t>(view.rows * view.cols) * sizeof(double);
    }

    const CudaArray& array(const py::object& object, const char* name, bool write)
    {
        arrays_.push_back(std::make_unique<CudaArray>(object, name, stream_, write));
        const CudaArray &first = *arrays_.front(), &last = *arrays_.back();
        require<DeviceError>(first.device() == last.device(), last.name(), " is on CUDA device ", last.device(),
                             " and ", first.name(), " on ", first.device(), "; move them to one device");
        return last;
    }
    template <class T>
    MatrixView<const T> in(const py::object& object, const char* name)
    {
        if (object.is_none()) return {};
        return array(object, name, false).matrix<const T>();
    }
    template <class T>
    MatrixView<T> out(const py::object& object, const char* name)
    {
        if (object.is_none()) return {};
        return array(object, name, true).matrix<T>();
    }
    /// The numbers of a vector of n elements.
    const double* vector(const py::object& object, const char* name, Index n)
    {
        const auto view = in<double>(object, name);
        require<ShapeError>(view.rows == n && view.cols == 1, name, " must have shape (", n, ",), got ", view.rows,
                            " by ", view.cols);
        return view.data;
    }

    int device() const { return arrays_.front()->device(); }

    template <class Body>
    void run(const Body& body)
    {
        const py::gil_scoped_release release;
#ifdef HESSAY_HOST_TWIN
        HostLoops ctx(bytes_);
#else
        CudaContext ctx(device(), reinterpret_cast<cudaStream_t>(stream_), workspace_, bytes_);
#endif
        body(ctx);
    }

  private:
    Stream stream_;
    std::vector<std::unique_ptr<CudaArray>> arrays_;
    void* workspace_ = nullptr;
    std::size_t bytes_ = 0;
};

/// Calls body with a float or a double, whichever the array holds.
template <class Body>
void for_precision(Call& call, const py::object& object, const char* name, const Body& body)
{
    const CudaArray& array = call.array(object, name, false);
    if (array.is_float(32)) return body(float{});
    require<ShapeError>(array.is_float(64), name, " must be float32 or float64");
    body(double{});
}

} // namespace hessay::cuda

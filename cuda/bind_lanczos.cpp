// The eigensolver over memory that Python allocates. hessay.hessian.device.lanczos allocates and calls.
#include "bind_lanczos.hpp"

#include "../cpp/bindings/lanczos_answer.hpp"
#include "call.hpp"
#include "solve_device.hpp"
#ifdef HESSAY_HOST_TWIN
#include "device_space.hpp"
#else
#include "lanczos.hpp"
#endif

#include <optional>

namespace hessay::cuda {

namespace {

using Object = const py::object&;
template <class T>
using Operator = DeviceOperator<T, SolveDevice>;

// Stream and device of a solve. Work that is recorded needs a stream that can be: torch's default one cannot.
#ifdef HESSAY_HOST_TWIN
constexpr std::size_t kLibraryBytes = 0;

class SolveStream {
  public:
    SolveStream(int, Stream, bool) {}
    Stream stream() const { return 0; }
    SolveDevice& device() { return device_; }

  private:
    SolveDevice device_;
};
#else
constexpr std::size_t kLibraryBytes = static_cast<std::size_t>(kBlasScratch) * sizeof(double);

class SolveStream {
  public:
    SolveStream(int device, Stream caller, bool recorded) : guard_(device)
    {
        auto stream = reinterpret_cast<cudaStream_t>(caller);
        if (recorded) stream = side_.emplace(stream).stream();
        device_.emplace(device, stream, nullptr, 0);
    }
    Stream stream() const { return reinterpret_cast<Stream>(device_->stream()); }
    SolveDevice& device() { return *device_; }

  private:
    DeviceGuard guard_;
    std::optional<SideStream> side_;
    std::optional<SolveDevice> device_;
};
#endif

// memory: basis(columns), aside(columns), workspace(doubles), each giving an array of the device.
template <class T>
OwnedColumns<T> owned(Object memory, const char* kind, Index count, Stream stream)
{
    const py::gil_scoped_acquire gil;
    const auto give_back = [](CudaArray* array) {
        const py::gil_scoped_acquire again;
        delete array;
    };
    const std::shared_ptr<CudaArray> array(new CudaArray(memory.attr(kind)(count), kind, stream, true), give_back);
    return {array->matrix<T>(), array};
}

// A Python function (first, count, target): columns target .. of the basis <- A times columns first .. of it.
template <class T>
Operator<T> callback_operator(Object function, Index size, const T* const& basis, Index const& stride)
{
    const auto apply = [&function, &basis, &stride](SolveDevice&, MatrixView<const T> v, MatrixView<T> av) {
        const py::gil_scoped_acquire gil;
        function((v.data - basis) / stride, v.cols, (av.data - basis) / stride);
    };
    return {size, apply, [](Index) { return std::size_t(0); }, false};
}

template <class T>
py::dict solve(Object op, Index size, Object memory, const LanczosOptions& options, std::uint64_t seed, Object start,
               int device, Stream caller)
{
    static const std::string loaded = bindings::load_blas(); // for the small problems on the host
    const bool native = py::isinstance<Operator<T>>(op);
    const T* basis = nullptr;
    Index stride = 1;
    const Operator<T> wanted = native ? op.cast<Operator<T>>() : callback_operator<T>(op, size, basis, stride);
    SolveStream stream(device, caller, wanted.only_launches);
    std::optional<CudaArray> start_array;
    if (!start.is_none()) start_array.emplace(start, "start", stream.stream(), false);
    const auto first = start_array ? start_array->matrix<const T>() : MatrixView<const T>{};
    const DeviceMemory<T> from{
        [&](Index columns) {
            auto given = owned<T>(memory, "basis", columns, stream.stream());
            basis = given.view.data;
            stride = given.view.stride;
            return given;
        },
        [&](Index columns) { return owned<T>(memory, "aside", columns, stream.stream()); },
        [&](Index doubles) { return owned<double>(memory, "workspace", doubles, stream.stream()); }, kLibraryBytes};
    LanczosResult<T> result;
    {
        const py::gil_scoped_release release;
        Context ctx = bindings::python_context(seed);
        result = device_lanczos<T, SolveDevice>(ctx, stream.device(), wanted, from, options, first);
    }
    py::dict out = bindings::lanczos_answer(result);
    out["replayed"] = stream.device().replayed();
    return out;
}

py::object dense_operator(Object matrix, Stream stream)
{
    const auto array = std::make_shared<CudaArray>(matrix, "the operator", stream, false);
    const auto of = [&](auto zero) {
        using T = decltype(zero);
        const auto a = array->matrix<const T>();
        require<ShapeError>(a.rows == a.cols && a.rows > 0, "a dense operator needs a square, non-empty matrix, got (",
                            a.rows, ", ", a.cols, ")");
        const auto apply = [array, a](SolveDevice& device, MatrixView<const T> v, MatrixView<T> av) {
            device.template product<T>(Transpose::no, Transpose::no, T(1), a, v, T(0), av);
        };
        return py::cast(Operator<T>{a.rows, apply, [](Index) { return std::size_t(0); }, true});
    };
    return array->is_float(32) ? of(float{}) : of(double{});
}

py::dict lanczos(Object op, Index size, bool single, Object memory, Index k, const std::string& which, double tol,
                 Index block, Index max_basis, Index max_products, double miss_probability, double max_seconds,
                 Object progress, std::uint64_t seed, Object start, int device, Stream stream)
{
    const LanczosOptions options{
        k,           bindings::parse_which(which),         tol, block, max_basis, max_products, miss_probability,
        max_seconds, bindings::progress_callback(progress)};
    if (single) return solve<float>(op, size, memory, options, seed, start, device, stream);
    return solve<double>(op, size, memory, options, seed, start, device, stream);
}

template <class T>
void bind_operator(py::module_& module, const char* name)
{
    py::class_<Operator<T>>(module, name).def_property_readonly("size", [](const Operator<T>& op) { return op.size; });
}

} // namespace

void bind_lanczos(py::module_& module)
{
    using py::arg;
    bind_operator<float>(module, "Operator32");
    bind_operator<double>(module, "Operator64");
    module.def("dense_operator", &dense_operator, arg("matrix"), arg("stream"));
    module.def("lanczos", &lanczos, arg("operator"), arg("size"), arg("single"), arg("memory"), py::kw_only(), arg("k"),
               arg("which"), arg("tol"), arg("block"), arg("max_basis"), arg("max_products"), arg("miss_probability"),
               arg("max_seconds"), arg("progress"), arg("seed"), arg("start"), arg("device"), arg("stream"));
}

} // namespace hessay::cuda

#include "borrowed_network.hpp"
#include "hessay/hvp.hpp"

#include <memory>

namespace hessay::bindings {

namespace {

/// A linearised loss and the arrays its weights live in.
template <class T>
struct OwnedHessian {
    OwnedHessian(const py::sequence& layers, const py::object& x, const py::object& labels, double scale)
        : network(layers)
    {
        const Array inputs(x, "x", Access::read), label_array(labels, "labels", Access::read);
        const auto x_view = inputs.rows<const T>();
        const auto label_view = label_array.rows<const std::int64_t>();
        require<ShapeError>(label_array.ndim() == 1 && label_array.dim(0) == x_view.cols, "labels must have shape (",
                            x_view.cols, ",), got ", label_array.shape_text());
        const py::gil_scoped_release release;
        Context ctx = python_context();
        hessian = std::make_unique<LossHessian<T>>(ctx, *network, x_view, label_view.data, scale);
    }

    void apply(const py::object& v, const py::object& out) const
    {
        const Array directions(v, "V", Access::read), products(out, "out", Access::write);
        const auto v_view = directions.matrix<const T>();
        const auto out_view = products.matrix<T>();
        const py::gil_scoped_release release;
        Context ctx = python_context();
        hessian->apply(ctx, v_view, out_view);
    }

    void apply_per_sample(const py::object& v, const py::object& out) const
    {
        const Array directions(v, "V", Access::read), products(out, "out", Access::write);
        const auto v_view = directions.rows<const T>();
        const auto out_view = products.rows<T>();
        const py::gil_scoped_release release;
        Context ctx = python_context();
        hessian->apply_per_sample(ctx, v_view, out_view);
    }

    void dense(const py::object& out) const
    {
        const Array result(out, "out", Access::write);
        const auto out_view = result.matrix<double>();
        const py::gil_scoped_release release;
        Context ctx = python_context();
        hessian->dense(ctx, out_view);
    }

    BorrowedNetwork<T> network;
    std::unique_ptr<LossHessian<T>> hessian;
};

template <class T>
void bind(py::module_& module, const char* name)
{
    using Owned = OwnedHessian<T>;
    py::class_<Owned>(module, name, "Hessian-vector products of a linearised cross-entropy loss.")
        .def(py::init<const py::sequence&, const py::object&, const py::object&, double>(), py::arg("layers"),
             py::arg("x"), py::arg("labels"), py::arg("scale"))
        .def("apply", &Owned::apply, py::arg("v"), py::arg("out"), "out (d, k) <- H V, averaged; column-major.")
        .def("dense", &Owned::dense, py::arg("out"), "out (d, d) float64 <- H, averaged.")
        .def("apply_per_sample", &Owned::apply_per_sample, py::arg("v"), py::arg("out"),
             "out (n, d, k) <- H_i V_i; C-contiguous.")
        .def_property_readonly("bytes", [](const Owned& owned) { return owned.hessian->bytes(); });
}

} // namespace

void bind_hvp(py::module_& module)
{
    bind<float>(module, "LossHessian32");
    bind<double>(module, "LossHessian64");
}

} // namespace hessay::bindings

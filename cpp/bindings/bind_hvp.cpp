#include "borrowed_network.hpp"
#include "hessay/hvp.hpp"

#include <memory>

namespace hessay::bindings {

namespace {

Loss parse_loss(const std::string& name)
{
    if (name == "cross_entropy") return Loss::cross_entropy;
    if (name == "mse") return Loss::mse;
    require(name == "logistic", "loss must be 'cross_entropy', 'mse' or 'logistic', got '", name, "'");
    return Loss::logistic;
}

/// A linearised loss and the arrays its weights live in.
template <class T>
struct OwnedHessian {
    OwnedHessian(const py::sequence& layers, const py::object& x, const py::object& targets, const std::string& loss,
                 double scale, Index n_threads)
        : network(layers, Array(x, "x", Access::read).rows<const T>().rows), threads(n_threads)
    {
        const Array inputs(x, "x", Access::read), target_array(targets, "targets", Access::read);
        const auto x_view = inputs.rows<const T>();
        require<ShapeError>(target_array.ndim() == 2, "targets must be (n, C), got ", target_array.shape_text());
        const auto target_view = target_array.rows<const T>();
        const Loss kind = parse_loss(loss);
        const py::gil_scoped_release release;
        Context ctx = python_context(0, threads);
        hessian = std::make_unique<LossHessian<T>>(ctx, *network, x_view, target_view, kind, scale);
    }

    void apply(const py::object& v, const py::object& out) const
    {
        const Array directions(v, "V", Access::read), products(out, "out", Access::write);
        const auto v_view = directions.matrix<const T>();
        const auto out_view = products.matrix<T>();
        const py::gil_scoped_release release;
        Context ctx = python_context(0, threads);
        hessian->apply(ctx, v_view, out_view);
    }

    void apply_per_sample(const py::object& v, const py::object& out) const
    {
        const Array directions(v, "V", Access::read), products(out, "out", Access::write);
        const auto v_view = directions.rows<const T>();
        const auto out_view = products.rows<T>();
        const py::gil_scoped_release release;
        Context ctx = python_context(0, threads);
        hessian->apply_per_sample(ctx, v_view, out_view);
    }

    void dense(const py::object& out) const
    {
        const Array result(out, "out", Access::write);
        const auto out_view = result.matrix<double>();
        const py::gil_scoped_release release;
        Context ctx = python_context(0, threads);
        hessian->dense(ctx, out_view);
    }

    BorrowedNetwork<T> network;
    Index threads;
    std::unique_ptr<LossHessian<T>> hessian;
};

template <class T>
void bind(py::module_& module, const char* name)
{
    using Owned = OwnedHessian<T>;
    py::class_<Owned>(module, name, "Hessian-vector products of a linearised loss.")
        .def(py::init<const py::sequence&, const py::object&, const py::object&, const std::string&, double, Index>(),
             py::arg("layers"), py::arg("x"), py::arg("targets"), py::arg("loss"), py::arg("scale"),
             py::arg("threads") = 1)
        .def("apply", &Owned::apply, py::arg("v"), py::arg("out"), "out (d, k) <- H V, averaged; column-major.")
        .def("dense", &Owned::dense, py::arg("out"), "out (d, d) float64 <- H, averaged.")
        .def("apply_per_sample", &Owned::apply_per_sample, py::arg("v"), py::arg("out"),
             "out (n, d, k) <- H_i V_i; C-contiguous.")
        .def(
            "product_bytes", [](const Owned& owned, Index k) { return owned.hessian->product_bytes(k); }, py::arg("k"),
            "Scratch bytes of a product of k columns on one thread.")
        .def_property_readonly("bytes", [](const Owned& owned) { return owned.hessian->bytes(); });
}

} // namespace

void bind_hvp(py::module_& module)
{
    bind<float>(module, "LossHessian32");
    bind<double>(module, "LossHessian64");
}

} // namespace hessay::bindings

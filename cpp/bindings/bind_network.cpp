#include "borrowed_network.hpp"

#include <array>

namespace hessay::bindings {

Activation parse_activation(const std::string& name)
{
    constexpr std::array<std::pair<const char*, Activation>, 10> kNames = {{{"identity", Activation::identity},
                                                                            {"relu", Activation::relu},
                                                                            {"leaky_relu", Activation::leaky_relu},
                                                                            {"gelu", Activation::gelu},
                                                                            {"gelu_tanh", Activation::gelu_tanh},
                                                                            {"silu", Activation::silu},
                                                                            {"tanh", Activation::tanh},
                                                                            {"sigmoid", Activation::sigmoid},
                                                                            {"softplus", Activation::softplus},
                                                                            {"elu", Activation::elu}}};
    for (const auto& [known, activation] : kNames)
        if (name == known) return activation;
    require(false, "unknown activation '", name, "'");
    return Activation::identity;
}

namespace {

void network_forward(const py::sequence& layers, const py::object& x, const py::object& out)
{
    const Array inputs(x, "x", Access::read), logits(out, "out", Access::write);
    for_precision(inputs, [&](auto zero) {
        using T = decltype(zero);
        const auto x_view = inputs.rows<const T>();
        const BorrowedNetwork<T> net(layers, x_view.rows);
        const auto out_view = logits.rows<T>();
        const py::gil_scoped_release release;
        Context ctx = python_context();
        forward<T>(ctx, *net, x_view, out_view);
    });
}

void network_pull_back(const py::sequence& layers, const py::object& x, const py::object& cotangents,
                       const py::object& out, Index threads)
{
    const Array inputs(x, "x", Access::read), cotangent(cotangents, "cotangents", Access::read);
    const Array rows(out, "out", Access::write);
    for_precision(inputs, [&](auto zero) {
        using T = decltype(zero);
        const auto x_view = inputs.rows<const T>();
        const BorrowedNetwork<T> net(layers, x_view.rows);
        const auto cotangent_view = cotangent.rows<const T>();
        const auto out_view = rows.rows<T>();
        const py::gil_scoped_release release;
        Context ctx = python_context(0, threads);
        pull_back<T>(ctx, *net, x_view, cotangent_view, out_view);
    });
}

void network_grouped_jacobian(const py::sequence& layers, const py::object& x, const py::object& group,
                              const py::object& out, Index threads)
{
    const Array inputs(x, "x", Access::read), groups(group, "group", Access::read), sum(out, "out", Access::write);
    require<ShapeError>(sum.ndim() == 3, "out must be (groups, C, d), got ", sum.shape_text());
    for_precision(inputs, [&](auto zero) {
        using T = decltype(zero);
        const auto x_view = inputs.rows<const T>();
        const BorrowedNetwork<T> net(layers, x_view.rows);
        const auto group_view = groups.rows<const std::int64_t>();
        const auto out_view = sum.rows<T>();
        require<ShapeError>(groups.ndim() == 1 && groups.dim(0) == x_view.cols, "group must have shape (", x_view.cols,
                            ",), got ", groups.shape_text());
        const Index n_groups = sum.dim(0);
        const py::gil_scoped_release release;
        Context ctx = python_context(0, threads);
        grouped_jacobian<T>(ctx, *net, x_view, group_view.data, n_groups, out_view);
    });
}

} // namespace

void bind_network(py::module_& module)
{
    module.def("network_forward", &network_forward, py::arg("layers"), py::arg("x"), py::arg("out"),
               "out (n, C) <- logits at x (n, d).");
    module.def("network_pull_back", &network_pull_back, py::arg("layers"), py::arg("x"), py::arg("cotangents"),
               py::arg("out"), py::arg("threads") = 1,
               "out (n, r, h1) <- cotangents (n, r, C) pulled back to the first pre-activation.");
    module.def("network_grouped_jacobian", &network_grouped_jacobian, py::arg("layers"), py::arg("x"), py::arg("group"),
               py::arg("out"), py::arg("threads") = 1, "out (groups, C, d) <- sums of logit gradients per group.");
}

} // namespace hessay::bindings

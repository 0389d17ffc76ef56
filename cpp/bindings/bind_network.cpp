#include "bindings.hpp"
#include "hessay/network.hpp"

#include <array>

namespace hessay::bindings {

namespace {

Activation parse_activation(const std::string& name)
{
    constexpr std::array<std::pair<const char*, Activation>, 10> kNames = {
        {{"identity", Activation::identity},
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

/// A network over borrowed Python arrays: it lives for one call.
template <class T>
class BorrowedNetwork {
  public:
    /// layers: a sequence of (weight (out, in), bias (out,) or None, activation name, parameter).
    explicit BorrowedNetwork(const py::sequence& layers)
    {
        for (std::size_t l = 0; l < layers.size(); ++l) {
            const py::tuple layer = py::reinterpret_borrow<py::tuple>(py::object(layers[l]));
            const std::string name = "layer " + std::to_string(l);
            arrays_.emplace_back(layer[0], name + " weight", Access::read);
            require<ShapeError>(arrays_.back().ndim() == 2, name, " weight must have shape (outputs, inputs), got ",
                                arrays_.back().shape_text());
            Layer<T> parsed;
            parsed.weight = arrays_.back().template rows<const T>();
            if (!layer[1].is_none()) {
                arrays_.emplace_back(layer[1], name + " bias", Access::read);
                const auto bias = arrays_.back().template rows<const T>();
                require<ShapeError>(arrays_.back().ndim() == 1 && bias.rows == parsed.weight.cols, name,
                                    " bias must have shape (", parsed.weight.cols, ",), got ",
                                    arrays_.back().shape_text());
                parsed.bias = bias.data;
            }
            parsed.activation = parse_activation(layer[2].cast<std::string>());
            parsed.parameter = layer[3].cast<T>();
            network_.layers.push_back(parsed);
        }
        network_.check();
    }
    const Network<T>& operator*() const { return network_; }

  private:
    std::vector<Array> arrays_;
    Network<T> network_;
};

void network_forward(const py::sequence& layers, const py::object& x, const py::object& out)
{
    const Array inputs(x, "x", Access::read), logits(out, "out", Access::write);
    for_precision(inputs, [&](auto zero) {
        using T = decltype(zero);
        const BorrowedNetwork<T> net(layers);
        const auto x_view = inputs.rows<const T>();
        const auto out_view = logits.rows<T>();
        const py::gil_scoped_release release;
        Context ctx = python_context();
        forward<T>(ctx, *net, x_view, out_view);
    });
}

void network_pull_back(const py::sequence& layers, const py::object& x, const py::object& cotangents,
                       const py::object& out)
{
    const Array inputs(x, "x", Access::read), cotangent(cotangents, "cotangents", Access::read);
    const Array rows(out, "out", Access::write);
    for_precision(inputs, [&](auto zero) {
        using T = decltype(zero);
        const BorrowedNetwork<T> net(layers);
        const auto x_view = inputs.rows<const T>();
        const auto cotangent_view = cotangent.rows<const T>();
        const auto out_view = rows.rows<T>();
        const py::gil_scoped_release release;
        Context ctx = python_context();
        pull_back<T>(ctx, *net, x_view, cotangent_view, out_view);
    });
}

void network_grouped_jacobian(const py::sequence& layers, const py::object& x, const py::object& group,
                              const py::object& out)
{
    const Array inputs(x, "x", Access::read), groups(group, "group", Access::read), sum(out, "out", Access::write);
    require<ShapeError>(sum.ndim() == 3, "out must be (groups, C, d), got ", sum.shape_text());
    for_precision(inputs, [&](auto zero) {
        using T = decltype(zero);
        const BorrowedNetwork<T> net(layers);
        const auto x_view = inputs.rows<const T>();
        const auto group_view = groups.rows<const std::int64_t>();
        const auto out_view = sum.rows<T>();
        require<ShapeError>(groups.ndim() == 1 && groups.dim(0) == x_view.cols, "group must have shape (", x_view.cols,
                            ",), got ", groups.shape_text());
        const Index n_groups = sum.dim(0);
        const py::gil_scoped_release release;
        Context ctx = python_context();
        grouped_jacobian<T>(ctx, *net, x_view, group_view.data, n_groups, out_view);
    });
}

} // namespace

void bind_network(py::module_& module)
{
    module.def("network_forward", &network_forward, py::arg("layers"), py::arg("x"), py::arg("out"),
               "out (n, C) <- logits at x (n, d).");
    module.def("network_pull_back", &network_pull_back, py::arg("layers"), py::arg("x"), py::arg("cotangents"),
               py::arg("out"), "out (n, r, h1) <- cotangents (n, r, C) pulled back to the first pre-activation.");
    module.def("network_grouped_jacobian", &network_grouped_jacobian, py::arg("layers"), py::arg("x"),
               py::arg("group"), py::arg("out"), "out (groups, C, d) <- sums of logit gradients per group.");
}

} // namespace hessay::bindings

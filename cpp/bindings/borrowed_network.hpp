#pragma once
#include "bindings.hpp"
#include "hessay/network.hpp"

namespace hessay::bindings {

/// The activation of a name in torch's spelling. Throws ValueError for an unknown one.
Activation parse_activation(const std::string& name);

/// A network over borrowed Python arrays, which it keeps alive.
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

} // namespace hessay::bindings

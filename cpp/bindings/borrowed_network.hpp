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
    /// layers: a sequence of (weight (out, in) or None for the identity, bias (out,) or None, activation name,
    /// parameter, input, skip); d: width of the network's input.
    BorrowedNetwork(const py::sequence& layers, Index d)
    {
        for (std::size_t l = 0; l < layers.size(); ++l) {
            const auto layer = py::object(layers[l]).cast<py::tuple>();
            const std::string name = "layer " + std::to_string(l);
            require<ShapeError>(layer.size() == 6, name, " must be (weight, bias, activation, parameter, input, skip)");
            Layer<T> parsed;
            parsed.input = layer[4].cast<Index>();
            parsed.skip = layer[5].cast<Index>();
            require<ShapeError>(parsed.input >= 0 && parsed.input <= static_cast<Index>(l), name, " reads value ",
                                parsed.input, ", which does not come before it");
            if (layer[0].is_none()) {
                const Index width = parsed.input == 0 ? d : network_.width(parsed.input);
                parsed.weight = {nullptr, width, width, width};
            } else {
                arrays_.emplace_back(layer[0], name + " weight", Access::read);
                require<ShapeError>(arrays_.back().ndim() == 2, name, " weight must have shape (outputs, inputs), got ",
                                    arrays_.back().shape_text());
                parsed.weight = arrays_.back().template rows<const T>();
            }
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

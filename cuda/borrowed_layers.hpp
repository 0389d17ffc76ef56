#pragma once
#include "call.hpp"
#include "hessay/network.hpp"
#include "scratch_counter.hpp"
#ifndef HESSAY_HOST_TWIN
#include "primitives.hpp"
#endif

// What the bindings of routines share: layer programs over borrowed arrays, and the scratch of a call.
namespace hessay::cuda {

#ifdef HESSAY_HOST_TWIN
constexpr std::size_t kLibraryBytes = 0;
#else
constexpr std::size_t kLibraryBytes = static_cast<std::size_t>(kBlasScratch) * sizeof(double);
#endif

/// A view of this shape that only a ScratchCounter meets.
template <class T>
MatrixView<T> nowhere(Index rows, Index cols)
{
    return {reinterpret_cast<T*>(kScratchAlignment), rows, cols, rows};
}

/// Doubles of workspace for a routine that takes what the counter saw.
inline Index workspace_doubles(const ScratchCounter& counter)
{
    return static_cast<Index>((counter.peak() + kLibraryBytes + kScratchAlignment) / sizeof(double));
}

/// Appends a layer (weight' (in, out) or None, bias (out,) or None, activation number, parameter, input, skip, width)
/// to a network of so many inputs; arrays keeps its memory alive.
template <class T>
void add_layer(Call& arrays, Network<T>& net, const py::tuple& layer, Index inputs)
{
    const Index before = static_cast<Index>(net.layers.size());
    const std::string name = "layer " + std::to_string(before);
    require<ShapeError>(layer.size() == 7, name, " must be (weight, bias, activation, parameter, input, skip, width)");
    const int activation = layer[2].cast<int>();
    require(activation >= 0 && activation <= static_cast<int>(Activation::elu), "no activation has number ",
            activation);
    Layer<T> parsed;
    parsed.activation = static_cast<Activation>(activation);
    parsed.parameter = static_cast<T>(layer[3].cast<double>());
    parsed.input = layer[4].cast<Index>();
    parsed.skip = layer[5].cast<Index>();
    const Index width = layer[6].cast<Index>();
    require<ShapeError>((before == 0 ? parsed.input == 0 : parsed.input >= 1 && parsed.input <= before) &&
                            parsed.skip != 0 && parsed.skip <= before && width >= 1,
                        name, " reads value ", parsed.input, " and adds value ", parsed.skip,
                        "; only layer 0 reads value 0, and no layer a later value");
    const Index wide = parsed.input == 0 ? inputs : net.width(parsed.input);
    parsed.weight = {nullptr, wide, width, wide};
    if (!layer[0].is_none()) parsed.weight = arrays.in<T>(layer[0], name.c_str());
    require<ShapeError>(parsed.weight.rows == wide && parsed.weight.cols == width &&
                            (parsed.weight.data || wide == width) &&
                            (parsed.skip < 0 || net.width(parsed.skip) == width),
                        name, " takes ", wide, " numbers to ", width, ", its weight is (", parsed.weight.rows, ", ",
                        parsed.weight.cols, ")");
    if (!layer[1].is_none()) {
        const auto bias = arrays.in<T>(layer[1], name.c_str());
        require<ShapeError>(bias.rows == width && bias.cols == 1, name, " needs a bias of ", width, " numbers");
        parsed.bias = bias.data;
    }
    net.layers.push_back(parsed);
}

} // namespace hessay::cuda

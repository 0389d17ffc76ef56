#pragma once
#include "bindings.hpp"
#include "hessay/block_lanczos.hpp"

// What eigensolvers take from Python and give to it, wherever they ran.
namespace hessay::bindings {

inline Which parse_which(const std::string& which)
{
    if (which == "LA") return Which::largest;
    if (which == "SA") return Which::smallest;
    if (which == "BE") return Which::both_ends;
    require(which == "LM", "which must be 'LA', 'SA', 'BE' or 'LM', got '", which, "'");
    return Which::largest_magnitude;
}

inline const char* certificate_name(Certificate certificate)
{
    switch (certificate) {
    case Certificate::whole_space:
        return "whole_space";
    case Certificate::exhausted:
        return "exhausted";
    case Certificate::random_block:
        return "random_block";
    case Certificate::none:
        break;
    }
    return "none";
}

inline const char* stopped_name(Stopped stopped)
{
    switch (stopped) {
    case Stopped::products:
        return "products";
    case Stopped::seconds:
        return "seconds";
    case Stopped::cancelled:
        return "cancelled";
    case Stopped::no:
        break;
    }
    return "no";
}

/// Calls a Python function (products, block_calls, converged, largest_residual, seconds, checking) -> bool.
inline std::function<bool(const LanczosProgress&)> progress_callback(const py::object& function)
{
    if (function.is_none()) return {};
    return [function = function.ptr()](const LanczosProgress& at) {
        const py::gil_scoped_acquire gil;
        return py::reinterpret_borrow<py::object>(function)(at.products, at.block_calls, at.converged,
                                                            at.largest_residual, at.seconds, at.checking)
            .cast<bool>();
    };
}

/// Everything but the vectors; takes values and residuals out of the result.
template <class T>
py::dict lanczos_answer(LanczosResult<T>& result)
{
    const auto found = static_cast<Index>(result.values.size());
    py::dict stats;
    stats["products"] = result.stats.products;
    stats["block_calls"] = result.stats.block_calls;
    stats["restarts"] = result.stats.restarts;
    stats["replaced"] = result.stats.replaced;
    stats["check_products"] = result.stats.check_products;
    stats["operator_seconds"] = result.stats.operator_seconds;
    stats["seconds"] = result.stats.seconds;
    stats["peak_bytes"] = result.stats.peak_bytes;
    py::dict out;
    out["values"] = owned_matrix(std::move(result.values), found, 1);
    out["residuals"] = owned_matrix(std::move(result.residuals), found, 1);
    out["converged"] = result.converged;
    out["certificate"] = certificate_name(result.certificate);
    out["miss_probability"] = result.miss_probability;
    out["norm"] = result.norm;
    out["stopped"] = stopped_name(result.stopped);
    out["stats"] = stats;
    return out;
}

} // namespace hessay::bindings

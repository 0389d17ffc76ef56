#pragma once
#include <sstream>
#include <stdexcept>
#include <string>

namespace hessay {

/// Base of every exception the core throws on purpose; the bindings map each to its Python twin of the same name.
struct Error : std::runtime_error {
    using std::runtime_error::runtime_error;
};
/// An argument is outside its range (Python: ArgumentError).
struct ValueError : Error {
    using Error::Error;
};
/// An array has the wrong shape, type or memory layout (Python: ShapeError).
struct ShapeError : Error {
    using Error::Error;
};
/// NaN or Inf where a finite number is needed (Python: NonFinite).
struct NonFinite : Error {
    using Error::Error;
};

/// Throws Exception with the parts printed one after another, unless ok.
template <class Exception = ValueError, class... Parts>
void require(bool ok, const Parts&... parts)
{
    if (ok) return;
    std::ostringstream message;
    message.precision(12);
    (message << ... << parts);
    throw Exception(message.str());
}

} // namespace hessay

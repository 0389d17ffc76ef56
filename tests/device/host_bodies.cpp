// Runs one routine of cuda/routines.hpp, orthonormalize_routines.hpp or narrow_routines.hpp on the processor.
// tests/support/device_bodies.py compiles it with sanitizers and speaks its protocol, all on standard input and output:
//   line   routine bits numbers...
//   then for every matrix a line "rows cols stride offset" and offset + stride (cols - 1) + rows raw numbers of `bits`
//   bits (a matrix of the kind "d": always 64). Every matrix comes back raw, in the same order.
#include "host_loops.hpp"
#include "orthonormalize_routines.hpp"
#include "routines.hpp"
#include "stepwise_routines.hpp"

#include <cstdlib>
#include <cstring>
#include <iostream>
#include <memory>
#include <string>

namespace {

using namespace hessay;
using namespace hessay::cuda;

struct Free {
    void operator()(char* memory) const { std::free(memory); }
};

// An exact allocation, so that one number too far is seen.
struct Buffer {
    std::unique_ptr<char, Free> memory;
    std::size_t bytes;
};

class Call {
  public:
    Call() { std::cin >> routine >> bits_; }

    double number()
    {
        double value;
        std::cin >> value;
        return value;
    }
    std::uint64_t word()
    {
        std::uint64_t value;
        std::cin >> value;
        return value;
    }
    Index index() { return static_cast<Index>(word()); }
    bool single() const { return bits_ == 32; }

    template <class T>
    MatrixView<T> matrix()
    {
        MatrixView<T> view;
        Index offset;
        std::cin >> view.rows >> view.cols >> view.stride >> offset;
        std::cin.ignore(1);
        const bool empty = view.rows == 0 || view.cols == 0;
        const Index count = empty ? 0 : offset + view.stride * (view.cols - 1) + view.rows;
        const std::size_t bytes = static_cast<std::size_t>(count) * sizeof(T);
        buffers_.push_back({std::unique_ptr<char, Free>(static_cast<char*>(std::malloc(bytes))), bytes});
        std::cin.read(buffers_.back().memory.get(), static_cast<std::streamsize>(bytes));
        if (!std::cin) throw std::runtime_error("the request ends too early");
        if (!empty) view.data = reinterpret_cast<T*>(buffers_.back().memory.get()) + offset;
        return view;
    }
    template <class T>
    MatrixView<const T> input()
    {
        return matrix<T>();
    }

    void answer() const
    {
        for (const Buffer& buffer : buffers_)
            std::cout.write(buffer.memory.get(), static_cast<std::streamsize>(buffer.bytes));
    }

    std::string routine;

  private:
    int bits_ = 0;
    std::vector<Buffer> buffers_;
};

// x is X' when the rows of X lie side by side.
template <class X, class T>
void standardise_all(HostLoops& device, Call& call)
{
    const bool side_by_side = call.index() != 0, some = call.index() != 0, weighted = call.index() != 0;
    const auto x = call.input<X>();
    const auto which = call.input<double>(), mean = call.input<double>(), scale = call.input<double>();
    const auto root = call.input<double>();
    const Index row_stride = side_by_side ? x.stride : 1, col_stride = side_by_side ? 1 : x.stride;
    standardise<X, T>(device, x.data, row_stride, col_stride, Positions{some ? which.data : nullptr}, mean.data,
                      scale.data, weighted ? root.data : nullptr, call.matrix<T>());
}

template <class T>
void run(Call& call)
{
    HostLoops device;
    const std::string& name = call.routine;
    if (name == "gaussian_fill") {
        const auto seed = call.word(), stream = call.word();
        gaussian_fill(device, seed, stream, call.matrix<T>());
    } else if (name == "activate") {
        const auto activation = static_cast<Activation>(call.index());
        const double parameter = call.number();
        const auto x = call.matrix<T>(), slope = call.matrix<T>(), curvature = call.matrix<T>();
        activate(device, activation, parameter, x, slope, curvature);
    } else if (name == "scale_by_sample") {
        const Index k = call.index();
        const auto factor = call.input<T>();
        const auto x = call.matrix<T>(), kept = call.matrix<T>();
        scale_by_sample(device, factor, k, x, kept);
    } else if (name == "tangent_backward_step") {
        const Index k = call.index();
        const auto slope = call.input<T>(), curvature = call.input<T>(), tangent = call.input<T>();
        tangent_backward_step(device, slope, curvature, tangent, k, call.matrix<T>());
    } else if (name == "expand_shared") {
        const auto slope = call.input<T>(), pushed = call.input<T>();
        expand_shared(device, slope, pushed, call.matrix<T>());
    } else if (name == "reduce_shared") {
        const auto slope = call.input<T>(), value = call.input<T>();
        reduce_shared(device, slope, value, call.matrix<double>());
    } else if (name == "cross_entropy_curvature") {
        const Index k = call.index();
        const double scale = call.number();
        const auto state = call.input<T>();
        cross_entropy_curvature(device, state, k, scale, call.matrix<T>());
    } else if (name == "column_norms") {
        const auto x = call.input<T>();
        column_norms(device, x, call.matrix<double>().data);
    } else if (name == "lanczos_update") {
        const auto alpha = call.input<double>(), beta = call.input<double>();
        const auto v = call.input<T>(), u = call.input<T>();
        lanczos_update(device, alpha.data, beta.data, v, u, call.matrix<T>());
    } else if (name == "normalise") {
        const auto norms = call.input<double>();
        normalise(device, norms.data, call.matrix<T>());
    } else if (name == "widen") {
        const auto x = call.input<T>();
        device.columns(Widen<T>{x, call.matrix<double>()});
    } else if (name == "mirror_upper") {
        device.columns(MirrorUpper{call.matrix<double>()});
    } else if (name == "add_scaled") {
        const T factor = static_cast<T>(call.number());
        const auto x = call.input<T>();
        device.columns(AddScaled<T>{factor, x, call.matrix<T>()});
    } else if (name == "scale_in_double") {
        const double factor = call.number();
        device.columns(ScaleInDouble<T>{factor, call.matrix<T>()});
    } else if (name == "standardise") {
        standardise_all<T, T>(device, call);
    } else if (name == "standardise_doubles") {
        standardise_all<double, T>(device, call);
    } else if (name == "set_number") {
        const double value = call.number();
        device.each(SetNumber{value, call.matrix<double>().data});
    } else if (name == "packed_gram") {
        const auto x = call.input<T>();
        packed_gram<HostLoops, T>(device, x, call.matrix<double>().data);
    } else if (name == "solve_upper_rows") {
        const auto r = call.input<double>();
        device.columns(SolveUpper<T>{r, call.matrix<T>()});
    } else if (name == "factor_gram") {
        const bool first = call.index() != 0, of_product = call.index() != 0;
        const double rounding = call.number();
        const auto gram = call.input<double>(), before = call.input<double>(), reference = call.input<double>();
        const auto factor = call.matrix<double>(), state = call.matrix<double>();
        device.each(FactorGram{gram.data, first ? before.data : nullptr, reference.data, of_product, rounding, factor,
                               state.data});
    } else if (name == "narrow_product") {
        const auto flip = call.index() != 0 ? Transpose::yes : Transpose::no;
        const T alpha = static_cast<T>(call.number()), beta = static_cast<T>(call.number());
        const auto a = call.input<T>(), b = call.input<T>();
        narrow_product<T>(device, flip, alpha, a, b, beta, call.matrix<T>());
    } else if (name == "orthonormalize_block") {
        const bool of_product = call.index() != 0, factors = call.index() != 0;
        const double rounding = call.number();
        const auto q = call.input<T>();
        const auto w = call.matrix<T>();
        const BlockReport report{q.cols, w.cols, call.matrix<double>().data};
        orthonormalize_block<HostLoops, T>(device, q, w, of_product, factors, rounding, report);
    } else {
        throw std::runtime_error("no routine is called " + name);
    }
}

} // namespace

int main()
{
    std::ios::sync_with_stdio(false);
    try {
        Call call;
        call.single() ? run<float>(call) : run<double>(call);
        call.answer();
    } catch (const std::exception& error) {
        std::cerr << error.what() << '\n';
        return 2;
    }
}

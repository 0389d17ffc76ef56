// The passes of stepwise selection over DLPack arrays. hessay.stepwise.device allocates, calls and copies back.
#include "bind_stepwise.hpp"

#include "borrowed_layers.hpp"
#ifdef HESSAY_HOST_TWIN
#include "stepwise_routines.hpp"
#else
#include "stepwise.hpp"
#endif

namespace hessay::cuda {

namespace {

using Object = const py::object&;

// X (n, p) as a column-major matrix, or its transpose, seen as rows and columns of X.
template <class X>
struct Table {
    MatrixView<const X> x;
    bool transposed;

    Index rows() const { return transposed ? x.cols : x.rows; }
    Index cols() const { return transposed ? x.rows : x.cols; }
    Index row_stride() const { return transposed ? x.stride : 1; }
    Index col_stride() const { return transposed ? 1 : x.stride; }
};

template <class X, class T>
void standardise_into(Call& call, Object x, bool transposed, Object columns, Object mean, Object scale, Object root,
                      Object z)
{
    const Table<X> table{call.in<X>(x, "x"), transposed};
    const auto out = call.out<T>(z, "z");
    const Positions which{columns.is_none() ? nullptr : call.vector(columns, "columns", out.rows)};
    const double *centre = call.vector(mean, "mean", table.cols()), *unit = call.vector(scale, "scale", table.cols());
    const double* weight = root.is_none() ? nullptr : call.vector(root, "root", table.rows());
    require<ShapeError>(out.cols == table.rows() && (which.column || out.rows == table.cols()), "z must be (",
                        table.cols(), ", ", table.rows(), "), got (", out.rows, ", ", out.cols, ")");
    call.run([&](auto& device) {
        standardise(device, table.x.data, table.row_stride(), table.col_stride(), which, centre, unit, weight, out);
    });
}

void bind_standardise(Object x, bool transposed, Object columns, Object mean, Object scale, Object root, Object z,
                      Stream stream)
{
    Call call(stream, py::none());
    for_precision(call, x, "x", [&](auto source) {
        for_precision(call, z, "z", [&](auto target) {
            standardise_into<decltype(source), decltype(target)>(call, x, transposed, columns, mean, scale, root, z);
        });
    });
}

void bind_gather(Object z, Object columns, Object out, Stream stream)
{
    Call call(stream, py::none());
    for_precision(call, z, "z", [&](auto zero) {
        using T = decltype(zero);
        const auto rows = call.in<T>(z, "z");
        const auto result = call.out<T>(out, "out");
        const Positions which{call.vector(columns, "columns", result.rows)};
        call.run([&](auto& device) { gather_rows(device, rows, which, result); });
    });
}

void bind_project(Object z, Object right, Object out, Object workspace, Stream stream)
{
    Call call(stream, workspace);
    for_precision(call, z, "z", [&](auto zero) {
        using T = decltype(zero);
        const auto rows = call.in<T>(z, "z"), panel = call.in<T>(right, "right");
        const auto sums = call.out<double>(out, "out");
        call.run([&](auto& device) { project(device, rows, panel, sums); });
    });
}

void bind_squares(Object z, Object squares, Object workspace, Stream stream)
{
    Call call(stream, workspace);
    for_precision(call, z, "z", [&](auto zero) {
        using T = decltype(zero);
        const auto rows = call.in<T>(z, "z");
        const auto sums = call.out<double>(squares, "squares");
        require<ShapeError>(sums.rows == rows.rows && sums.cols == 1, "squares must have shape (", rows.rows, ",)");
        call.run([&](auto& device) { sum_squares(device, rows, sums); });
    });
}

void bind_combine(Object z, Object y, Object a, Object b, Object f, Object workspace, Stream stream)
{
    Call call(stream, workspace);
    const auto columns = call.in<double>(z, "z"), outputs = call.in<double>(y, "y");
    const auto of_columns = call.in<double>(a, "a"), of_outputs = call.in<double>(b, "b");
    const auto result = call.out<double>(f, "f");
    call.run([&](auto& device) { combine(device, columns, outputs, of_columns, of_outputs, result); });
}

template <class T>
Index project_scratch(Index p, Index width, Index n)
{
    ScratchCounter counter;
    project(counter, nowhere<const T>(p, n), nowhere<const T>(width, n), nowhere<double>(p, width));
    return workspace_doubles(counter);
}

Index squares_scratch(Index p, Index n)
{
    ScratchCounter counter;
    sum_squares(counter, nowhere<const double>(p, n), nowhere<double>(p, 1));
    return workspace_doubles(counter);
}

} // namespace

void bind_stepwise(py::module_& module)
{
    using py::arg;
    module.def("stepwise_standardise", &bind_standardise, arg("x"), arg("transposed"), arg("columns"), arg("mean"),
               arg("scale"), arg("root"), arg("z"), arg("stream"));
    module.def("stepwise_gather", &bind_gather, arg("z"), arg("columns"), arg("out"), arg("stream"));
    module.def("stepwise_project", &bind_project, arg("z"), arg("right"), arg("out"), arg("workspace"), arg("stream"));
    module.def("stepwise_squares", &bind_squares, arg("z"), arg("squares"), arg("workspace"), arg("stream"));
    module.def("stepwise_combine", &bind_combine, arg("z"), arg("y"), arg("a"), arg("b"), arg("f"), arg("workspace"),
               arg("stream"));
    module.def("stepwise_project_scratch", [](Index p, Index width, Index n, bool single) {
        return single ? project_scratch<float>(p, width, n) : project_scratch<double>(p, width, n);
    });
    module.def("stepwise_squares_scratch", &squares_scratch);
    module.def("stepwise_combine_scratch", [] { return workspace_doubles(ScratchCounter()); });
}

} // namespace hessay::cuda

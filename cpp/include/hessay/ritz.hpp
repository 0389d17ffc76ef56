#pragma once
#include "hessay/block_lanczos.hpp"

namespace hessay {

/// Positions in ascending, the Ritz values in ascending order, from the most to the least wanted.
std::vector<Index> preference(const std::vector<double>& ascending, Which which);

/// Sorts positions the way results are reported: descending, ascending (smallest) or by magnitude.
void report_order(const std::vector<double>& ascending, Which which, std::vector<Index>& positions);

/// How many asked-for values lie at the top of the spectrum; the rest lie at the bottom. Magnitude counts for both.
struct Ends {
    bool top = false;
    bool bottom = false;
};
Ends ends_of(Which which, Index k);

} // namespace hessay

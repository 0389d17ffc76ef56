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

/// Probability that Lanczos from one Gaussian start vector in n dimensions still has its largest Ritz value a relative
/// distance epsilon (of the spread) below the largest eigenvalue after `steps` steps: min(1, 1.648 sqrt(n)
/// exp(-sqrt(epsilon) (2 steps - 1))), to the power of the number of independent start vectors.
/// Source: Kuczynski & Wozniakowski 1992, SIAM J. Matrix Anal. Appl. 13, 1094, theorem 4.2.
double miss_probability(double epsilon, Index n, Index steps, Index starts);

} // namespace hessay

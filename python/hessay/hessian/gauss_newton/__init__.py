"""H = J'SJ: held as a factor, summed up as a moment, or sketched."""

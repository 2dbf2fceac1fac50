//! Counters, gauges and histograms with upstream's names.

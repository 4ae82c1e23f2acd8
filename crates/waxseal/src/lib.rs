//! Command line, configuration, wiring, signals.

//! Runs the scenarios.

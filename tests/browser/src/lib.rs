//! The driver's tests in a real browser are in tests/: there is nothing here.

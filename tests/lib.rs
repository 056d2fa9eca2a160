//! Holds nothing: the package exists for its test targets.

//! Texts, each provoked by the state that it tells of.

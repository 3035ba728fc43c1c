//! Masking strategies.

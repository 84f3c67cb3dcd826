//! misbehaving

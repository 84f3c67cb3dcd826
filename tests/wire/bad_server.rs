//! bad_server

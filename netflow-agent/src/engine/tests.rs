//! The claims of this folder, as tests.

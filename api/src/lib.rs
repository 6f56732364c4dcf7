//! REST API and operator endpoints.

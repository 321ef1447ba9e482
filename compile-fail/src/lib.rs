//! Nothing: the cases stand in `cases/`, their test in `tests/`.

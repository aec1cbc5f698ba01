//! tollgate.yaml

//! Fused operators on dfdx tensors.

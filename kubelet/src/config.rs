//! KubeletConfiguration v1beta1 and flags.

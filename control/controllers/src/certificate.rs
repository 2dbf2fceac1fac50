//! Requests for certificates: [`approve`], [`sign`] and [`clean`]. What a request asks for is read
//! by [`request`], what a signer agrees to is decided by [`signer`]; both are pure.

pub mod approve;
pub mod clean;
pub mod der;
pub mod issue;
pub mod request;
pub mod sign;
pub mod signer;

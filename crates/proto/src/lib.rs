//! The services' gRPC contracts: the code generated from the `.proto` files beside this crate.
//!
//! ```
//! use proto::catalog::v1::Money;
//!
//! let price = Money { currency: "EUR".into(), minor_units: 1_990 };
//! assert_eq!(price.minor_units, 1_990);
//! ```

/// `slipway.catalog`: products, stock and reservations.
pub mod catalog {
    /// Version 1 of the contract.
    #[allow(
        missing_docs,
        clippy::all,
        clippy::missing_errors_doc,
        reason = "generated; documented in catalog.proto"
    )]
    pub mod v1 {
        tonic::include_proto!("slipway.catalog.v1");
    }
}

/// `slipway.orders`: orders, their events and dead letters.
pub mod orders {
    /// Version 1 of the contract.
    #[allow(
        missing_docs,
        clippy::all,
        clippy::missing_errors_doc,
        reason = "generated; documented in orders.proto"
    )]
    pub mod v1 {
        tonic::include_proto!("slipway.orders.v1");
    }
}

/// The descriptors of every file, encoded as a `google.protobuf.FileDescriptorSet`, for gRPC
/// server reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

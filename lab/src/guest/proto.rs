//! The API of a VM's init, generated from `lab.proto`.
#![allow(missing_docs, clippy::all, unreachable_pub)]

tonic::include_proto!("nestless.lab.v1");

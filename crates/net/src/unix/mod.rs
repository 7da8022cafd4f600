//! Unix domain sockets: what they have and TCP has not. What carries the bytes is `transport::tcp`,
//! since a connected stream socket is read and written in the same way.

pub mod address;
pub mod credentials;
pub mod given;
pub mod socket_file;

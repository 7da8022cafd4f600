//! The way to the peer through a proxy. The list of the folder's parts.

mod answer;
mod approach;
mod destination;
mod dial;
mod dialogue;
mod environment;
mod http;
mod socks;
mod url;

pub use destination::Destination;
pub use dial::{ProxyDial, ProxyDialed};
pub use dialogue::Dialogue;
pub use environment::{find, is_excepted};
pub use url::{Field, Kind, Proxy, ProxyFacts};

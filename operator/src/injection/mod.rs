//! Puts the sidecar into a pod. Pure: a pod and what surrounds it in, a JSON patch or a denial out.
//!
//! `overrides` reads the pod's annotations, `tenant` finds whom the pod acts for, `container` writes
//! the container, `patch` says which places of the pod change. Nothing of the pod is rebuilt: we
//! append, and match our own container and volume by name so that a second call changes nothing.

mod container;
mod denial;
mod opt_in;
mod overrides;
mod patch;
#[cfg(test)]
mod properties;
mod quantity;
mod tenant;
#[cfg(test)]
mod tests;

pub use container::{CONTAINER, HEALTH_PORT, SidecarSettings, VOLUME};
pub use denial::Denial;
pub use opt_in::wanted;
pub use overrides::Overrides;
pub use patch::{Injection, InjectionContext, has_sidecar, inject};
pub use quantity::{NotAQuantity, Quantity, RequestAboveLimit, Resources};
pub use tenant::choose;

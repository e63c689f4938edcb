//! Given roles, when a request comes, then a decision.

mod broken;
mod checking;
mod deciding;
mod model;

//! Regularizers: further terms of the loss.

mod shared;
mod sigreg;
mod vicreg;

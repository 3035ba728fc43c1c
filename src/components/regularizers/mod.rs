//! Regularizers: further terms of the loss.

mod vicreg;

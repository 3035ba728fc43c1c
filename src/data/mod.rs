//! Batches, the image pipeline and loader threads.

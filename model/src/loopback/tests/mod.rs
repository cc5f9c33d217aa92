//! The rules one by one, and against fractions whose kernels are played.

mod endings;
mod judge;
mod network;
mod properties;
mod rules;
mod stack;

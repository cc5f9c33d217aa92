mod judge;
mod network;
mod properties;
mod rules;
mod stack;

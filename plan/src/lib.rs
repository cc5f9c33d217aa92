//! What the planner reads and writes: clusters, traces, catalogues, reports. What it decides lies in `nestless-model`.

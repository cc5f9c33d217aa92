//! What is seen at a hook, by whichever way programs came there.

use std::fmt;

/// A hook, as far as it is about us.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// The kernel's number of our program, of this version or another.
    pub program_id: Option<u32>,
    /// Others that are asked before ours, and may keep it from being asked.
    pub before: Vec<Other>,
    /// A program of ours is there (too) by the way of older kernels: one that an earlier version put there.
    pub former: bool,
}

impl Look {
    /// It is this very program, and nothing of former times is left.
    pub fn is(&self, program_id: u32) -> bool {
        self.program_id == Some(program_id) && !self.former
    }

    /// It is this very program, and it is asked first.
    pub fn is_in_force(&self, program_id: u32) -> bool {
        self.is(program_id) && self.before.is_empty()
    }
}

/// Somebody else's program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Other {
    /// As the kernel has it; may be empty.
    pub name: String,
    /// The kernel's number of it; `None` for a filter without a program.
    pub program_id: Option<u32>,
}

impl fmt::Display for Other {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.program_id {
            Some(id) => write!(f, "program {id} ({:?})", self.name),
            None => write!(f, "filter {:?}", self.name),
        }
    }
}

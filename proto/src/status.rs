//! A refusal travels in the details of a gRPC status. What its reason means is not known here.

use crate::Refusal;
use prost::Message as _;
use tonic::{Code, Status};

impl Refusal {
    /// The status that carries it.
    pub fn into_status(self, code: Code) -> Status {
        Status::with_details(code, self.message.clone(), self.encode_to_vec().into())
    }

    /// Reads it back from a status; `None` if the peer did not send one.
    pub fn from_status(status: &Status) -> Option<Self> {
        (!status.details().is_empty()).then(|| Self::decode(status.details()).ok()).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refusal::Reason;

    #[test]
    fn survives_the_wire() {
        let message = "VM a has no free hot-plug port".to_owned();
        let refusal = Refusal { reason: Reason::NoCapacity.into(), message };
        let status = refusal.clone().into_status(Code::ResourceExhausted);
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert_eq!(Refusal::from_status(&status), Some(refusal));
        assert_eq!(Refusal::from_status(&Status::unavailable("gone")), None);
    }
}

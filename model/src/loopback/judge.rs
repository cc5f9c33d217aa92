//! The judgement of one packet.

use super::{
    flow::{Flow, Half, Kind, Place, Places, State},
    group::{Course, Group},
    hearing,
    packet::{Body, Packet, Protocol, Tuple},
};

/// How a packet was judged; each is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// To the other end of its flow, or to those who have not refused yet.
    Forwarded,
    /// To all others; its question is open.
    Asked,
    /// The first answer to a question.
    Answered,
    /// A refusal that is not the last.
    Withheld,
    /// The last refusal.
    Refused,
    /// The answer of a second listener.
    Clash,
    /// Back to the sender, who is alone.
    Alone,
    /// It belongs to no flow of its sender's.
    Stray,
    /// A fragment whose first one was not seen, or dropped.
    Fragment,
    /// The answer to a probe of the host's.
    Heard,
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// For the counters.
    pub outcome: Outcome,
    /// Who gets a copy.
    pub to: Places,
}

impl Verdict {
    fn drop(outcome: Outcome) -> Self {
        Self { outcome, to: Places::default() }
    }

    fn to(outcome: Outcome, place: Place) -> Self {
        Self { outcome, to: Places::only(place) }
    }
}

/// A SYN may carry data (RFC 7413), which its refusal acknowledges too.
const MAX_SYN_BYTES: u32 = 0xffff;

/// Whose half of a connection.
const ASKER: usize = 0;
const ANSWERER: usize = 1;

fn acknowledges(acknowledged: u32, sequence: u32) -> bool {
    acknowledged.wrapping_sub(sequence).wrapping_sub(1) <= MAX_SYN_BYTES
}

impl Group {
    /// Judges a packet from `from`, which must be a member, and learns from it.
    pub fn receive(&mut self, from: Place, packet: &Packet) -> Verdict {
        let verdict = match packet.body {
            Body::Syn { tuple, sequence } => self.syn(from, tuple, sequence),
            Body::SynAck { tuple, acknowledged } => self.syn_ack(from, tuple, acknowledged),
            Body::Reset { tuple, acknowledged } => self.reset(from, tuple, acknowledged),
            Body::Segment { tuple, acknowledged, end } => self.packet(from, tuple, acknowledged, end),
            Body::Datagram { tuple } => self.packet(from, tuple, 0, None),
            Body::Error { quoted, sequence, unreachable } => self.error(from, quoted, sequence, unreachable),
            Body::LaterFragment { id } => match self.courses.get(&(from, id)) {
                Some(course) => {
                    Verdict { outcome: Outcome::Forwarded, to: course.to.and(self.since(course.epoch)) }
                }
                None => Verdict::drop(Outcome::Fragment),
            },
        };
        if let Some(id) = packet.first_fragment {
            self.courses.remove(&(from, id));
            if !verdict.to.is_empty() {
                self.courses.insert((from, id), Course { to: verdict.to, epoch: self.epoch() });
            }
        }
        verdict
    }

    fn syn(&mut self, from: Place, tuple: Tuple, sequence: u32) -> Verdict {
        match self.row(&tuple) {
            Some(Flow { asker, number, state: State::Bound { answerer, .. }, .. })
                if asker == from && number == sequence =>
            {
                Verdict::to(Outcome::Forwarded, answerer)
            }
            _ => self.ask(from, tuple, Kind::Opening, sequence),
        }
    }

    fn syn_ack(&mut self, from: Place, tuple: Tuple, acknowledged: u32) -> Verdict {
        let asked = tuple.reversed();
        let Some(flow) = self.row(&asked).filter(|flow| flow.asker != from) else {
            return match self.row(&tuple) {
                Some(Flow { asker, state: State::Bound { answerer, .. }, .. }) if asker == from => {
                    Verdict::to(Outcome::Forwarded, answerer)
                }
                // It answers its own SYN.
                _ if self.others(from, tuple.family()).is_empty() => Verdict::to(Outcome::Alone, from),
                _ => Verdict::drop(Outcome::Stray),
            };
        };
        match flow.state {
            State::Asked { kind, .. } => {
                if kind == Kind::Resuming || !acknowledges(acknowledged, flow.number) {
                    return Verdict::to(Outcome::Forwarded, flow.asker);
                }
                self.bind(asked, flow, from)
            }
            State::Bound { answerer, .. } if answerer == from => Verdict::to(Outcome::Forwarded, flow.asker),
            State::Bound { .. } => Verdict::drop(Outcome::Clash),
        }
    }

    fn reset(&mut self, from: Place, tuple: Tuple, acknowledged: Option<u32>) -> Verdict {
        if tuple == hearing::probe(tuple.family()).reversed() {
            let heard = &mut self.heard[tuple.family().index()];
            *heard = heard.with(from);
            return Verdict::drop(Outcome::Heard);
        }
        let answered = self.row(&tuple.reversed());
        if let Some(Flow { asker, number, state: State::Asked { kind, .. }, .. }) = answered
            && asker != from
            && (kind == Kind::Resuming || acknowledged.is_some_and(|ack| acknowledges(ack, number)))
        {
            return self.refuse(from, tuple.reversed());
        }
        if let Some(flow) = self.row(&tuple).filter(|flow| flow.asker == from) {
            let to = match flow.state {
                State::Asked { waiting, epoch, .. } => waiting.and(self.asked(epoch, tuple.family())),
                State::Bound { answerer, .. } => {
                    self.forget(tuple);
                    Places::only(answerer)
                }
            };
            return Verdict { outcome: Outcome::Forwarded, to };
        }
        match answered {
            Some(Flow { asker, state: State::Bound { answerer, .. }, .. }) if answerer == from => {
                self.forget(tuple);
                Verdict::to(Outcome::Forwarded, asker)
            }
            _ => Verdict::drop(Outcome::Stray),
        }
    }

    /// A connection was reset; simultaneous open has made two rows of it.
    fn forget(&mut self, tuple: Tuple) {
        self.flows.remove(&tuple);
        self.flows.remove(&tuple.reversed());
    }

    /// What neither opens nor ends a TCP flow, and every datagram.
    fn packet(&mut self, from: Place, tuple: Tuple, number: u32, end: Option<u32>) -> Verdict {
        let udp = tuple.protocol == Protocol::Udp;
        let kind = if udp { Kind::Opening } else { Kind::Resuming };
        let ahead = self.row(&tuple);
        let own = ahead.filter(|flow| flow.asker == from);
        if let Some(Flow { state: State::Bound { answerer, .. }, .. }) = own {
            self.follow(tuple, ASKER, number, end);
            return Verdict::to(Outcome::Forwarded, answerer);
        }
        let back = tuple.reversed();
        let asked = self.row(&back).filter(|flow| flow.asker != from);
        match asked {
            Some(Flow { asker, state: State::Bound { answerer, .. }, .. }) if answerer == from => {
                self.follow(back, ANSWERER, number, end);
                return Verdict::to(Outcome::Forwarded, asker);
            }
            Some(flow @ Flow { state: State::Asked { kind: question, .. }, .. })
                if udp || question == Kind::Resuming =>
            {
                // Both asked for each other.
                if own.is_some() {
                    self.flows.remove(&tuple);
                }
                return self.bind(back, flow, from);
            }
            _ => {}
        }
        if let Some(Flow { state: State::Asked { waiting, epoch, kind: question }, .. }) = own {
            let to = waiting.and(self.asked(epoch, tuple.family()));
            // Of a SYN's question only the SYN is asked again.
            let fixed = !udp && question == Kind::Opening;
            return if fixed || (epoch == self.epoch() && !to.is_empty()) {
                Verdict { outcome: Outcome::Forwarded, to }
            } else {
                self.ask(from, tuple, kind, number)
            };
        }
        match asked {
            Some(Flow { asker, state: State::Asked { .. }, .. }) => Verdict::to(Outcome::Forwarded, asker),
            Some(_) => Verdict::drop(if udp { Outcome::Clash } else { Outcome::Stray }),
            None if ahead.is_some() && !udp => Verdict::drop(Outcome::Stray),
            None => self.ask(from, tuple, kind, number),
        }
    }

    fn error(&mut self, from: Place, quoted: Tuple, sequence: u32, unreachable: bool) -> Verdict {
        let udp = quoted.protocol == Protocol::Udp;
        let (row, other) = match (self.row(&quoted), self.row(&quoted.reversed())) {
            (Some(flow), _) if flow.asker != from => match flow.state {
                State::Asked { kind, .. } => {
                    let about = udp || kind == Kind::Resuming || sequence == flow.number;
                    return if unreachable && about {
                        self.refuse(from, quoted)
                    } else {
                        Verdict::drop(Outcome::Stray)
                    };
                }
                State::Bound { answerer, .. } if answerer == from => (quoted, flow.asker),
                State::Bound { .. } => return Verdict::drop(Outcome::Stray),
            },
            (_, Some(Flow { asker, state: State::Bound { answerer, .. }, .. })) if asker == from => {
                (quoted.reversed(), answerer)
            }
            _ => return Verdict::drop(Outcome::Stray),
        };
        if !udp || !unreachable {
            return Verdict::to(Outcome::Forwarded, other);
        }
        self.flows.remove(&row);
        if self.others(from, quoted.family()).without(other).is_empty() {
            Verdict::to(Outcome::Refused, other)
        } else {
            Verdict::drop(Outcome::Withheld)
        }
    }

    fn ask(&mut self, from: Place, tuple: Tuple, kind: Kind, number: u32) -> Verdict {
        let waiting = self.others(from, tuple.family());
        if waiting.is_empty() {
            self.flows.remove(&tuple);
            return Verdict::to(Outcome::Alone, from);
        }
        let state = State::Asked { kind, waiting, epoch: self.epoch() };
        let flow = Flow { asker: from, asker_life: self.life(from), number, state };
        self.flows.insert(tuple, flow);
        Verdict { outcome: Outcome::Asked, to: waiting }
    }

    fn bind(&mut self, row: Tuple, flow: Flow, answerer: Place) -> Verdict {
        let (answerer_life, halves) = (self.life(answerer), <[Half; 2]>::default());
        let state = State::Bound { answerer, answerer_life, halves };
        self.flows.insert(row, Flow { state, ..flow });
        Verdict::to(Outcome::Answered, flow.asker)
    }

    fn refuse(&mut self, from: Place, row: Tuple) -> Verdict {
        let Some(Flow { asker, state: State::Asked { kind, waiting, epoch }, asker_life, number }) =
            self.row(&row)
        else {
            return Verdict::drop(Outcome::Stray);
        };
        let asked = self.asked(epoch, row.family());
        if !waiting.and(asked).contains(from) {
            return Verdict::drop(Outcome::Stray);
        }
        let missing = waiting.without(from);
        if missing.and(asked).is_empty() {
            self.flows.remove(&row);
            return Verdict::to(Outcome::Refused, asker);
        }
        let state = State::Asked { kind, waiting: missing, epoch };
        self.flows.insert(row, Flow { asker, asker_life, number, state });
        Verdict::drop(Outcome::Withheld)
    }

    /// Follows a connection to its end. One whose halves have both arrived is forgotten, so that only those that live
    /// fill the table.
    fn follow(&mut self, row: Tuple, speaker: usize, acknowledged: u32, end: Option<u32>) {
        let Some(Flow { state: State::Bound { halves, .. }, .. }) = self.flows.get_mut(&row) else { return };
        if let (Half::Open, Some(end)) = (halves[speaker], end) {
            halves[speaker] = Half::Ended { end };
        }
        let listener = 1 - speaker;
        if halves[listener] == (Half::Ended { end: acknowledged }) {
            halves[listener] = Half::Closed;
        }
        if *halves == [Half::Closed; 2] {
            self.flows.remove(&row);
        }
    }

    /// The row of a flow whose ends are still there.
    fn row(&self, tuple: &Tuple) -> Option<Flow> {
        let flow = self.flows.get(tuple)?;
        let answerer_lives = match flow.state {
            State::Bound { answerer, answerer_life, .. } => self.lives(answerer, answerer_life),
            State::Asked { .. } => true,
        };
        (answerer_lives && self.lives(flow.asker, flow.asker_life)).then_some(*flow)
    }
}

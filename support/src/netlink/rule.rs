//! Rules that give the packets of one source address a routing table of their own.

use super::{
    Netlink, NetlinkError, Operation,
    error::{Cause, at},
    route::family,
};
use futures_util::TryStreamExt as _;
use rtnetlink::{
    IpVersion,
    packet_route::rule::{RuleAction, RuleAttribute, RuleMessage},
};
use std::{fmt, net::IpAddr};

/// Packets from `source` are routed by `table`, where that has a route for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceRule {
    /// The source address.
    pub source: IpAddr,
    /// The routing table.
    pub table: u32,
    /// Lower is asked first. The main table is asked at 32766 (`fib_default_rules_init` in net/ipv4/fib_rules.c).
    pub priority: u32,
}

impl SourceRule {
    fn to_message(self) -> RuleMessage {
        let mut message = RuleMessage::default();
        message.header.family = family(self.source);
        message.header.src_len = if self.source.is_ipv4() { 32 } else { 128 };
        message.header.action = RuleAction::ToTable;
        message.attributes = vec![
            RuleAttribute::Source(self.source),
            RuleAttribute::Table(self.table),
            RuleAttribute::Priority(self.priority),
        ];
        message
    }

    /// `None` for a rule of any other kind.
    fn from_message(message: &RuleMessage) -> Option<Self> {
        let (mut source, mut table, mut priority) = (None, u32::from(message.header.table), 0);
        for attribute in &message.attributes {
            match attribute {
                RuleAttribute::Source(address) => source = Some(*address),
                RuleAttribute::Table(number) => table = *number,
                RuleAttribute::Priority(number) => priority = *number,
                _ => {}
            }
        }
        let source = source?;
        let whole = message.header.src_len == if source.is_ipv4() { 32 } else { 128 };
        (whole && message.header.action == RuleAction::ToTable).then_some(Self { source, table, priority })
    }
}

impl fmt::Display for SourceRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "from {} look in table {}", self.source, self.table)
    }
}

impl Netlink {
    /// The rules for single source addresses, both families.
    ///
    /// # Errors
    /// When the exchange fails.
    pub async fn source_rules(&self) -> Result<Vec<SourceRule>, NetlinkError> {
        let mut rules = Vec::new();
        for version in [IpVersion::V4, IpVersion::V6] {
            let request = self.handle.rule().get(version);
            let listed =
                self.list(Operation::ListRules, async move { request.execute().try_collect().await }).await;
            let messages: Vec<RuleMessage> = match listed {
                // A kernel without the family, or without policy routing, has no rules.
                Err(error) if matches!(error.errno(), Some(libc::EAFNOSUPPORT | libc::EOPNOTSUPP)) => {
                    continue;
                }
                listed => listed?,
            };
            rules.extend(messages.iter().filter_map(SourceRule::from_message));
        }
        Ok(rules)
    }

    /// Adds a rule.
    ///
    /// # Errors
    /// [`NetlinkError::is_existing`] when it is there.
    pub async fn add_source_rule(&self, rule: SourceRule) -> Result<(), NetlinkError> {
        let mut request = self.handle.rule().add();
        *request.message_mut() = rule.to_message();
        let added = request.execute().await;
        added.map_err(|error| at(Operation::AddRule { rule: rule.to_string() }, Cause::from(error)))
    }

    /// Deletes a rule.
    ///
    /// # Errors
    /// [`NetlinkError::is_missing`] when there is none like it.
    pub async fn delete_source_rule(&self, rule: SourceRule) -> Result<(), NetlinkError> {
        let deleted = self.handle.rule().del(rule.to_message()).execute().await;
        deleted.map_err(|error| at(Operation::DeleteRule { rule: rule.to_string() }, Cause::from(error)))
    }
}

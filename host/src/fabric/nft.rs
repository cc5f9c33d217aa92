//! Our table of rules in the kernel, by way of the `nft` program.

use super::{
    error::FabricError,
    rules::{Chain, Rule},
};
use ipnet::IpNet;
use nestless_model::identity::LinkName;
use nftables::{
    batch::Batch,
    expr::{Expression, Meta, MetaKey, NamedExpression, Payload, PayloadField, Prefix},
    helper::{self, DEFAULT_NFT, NftablesError},
    schema::{self, NfListObject, Nftables, Table},
    stmt::{Match, Operator, Statement},
    types::{NfChainPolicy, NfChainType, NfFamily, NfHook},
};
use serde::Deserialize;
use std::{io, net::IpAddr};

const FAMILY: NfFamily = NfFamily::INet;

/// The comments of our table's rules, in order; `None` when there is no such table.
pub(super) async fn list(table: &str) -> Result<Option<Vec<String>>, FabricError> {
    let tables = run(&["list", "tables", "inet"], table).await?;
    if !tables.iter().any(|object| object.table.as_ref().is_some_and(|found| found.name == table)) {
        return Ok(None);
    }
    let objects = run(&["list", "table", "inet", table], table).await?;
    let rules = objects.into_iter().filter_map(|object| object.rule);
    // A rule without a comment is not ours, and makes the list differ from ours.
    Ok(Some(rules.map(|rule| rule.comment.unwrap_or_default()).collect()))
}

/// Puts these rules in the place of whatever the table had, in one transaction.
pub(super) async fn replace(table: &str, rules: &[Rule]) -> Result<(), FabricError> {
    let mut batch = Batch::new();
    // Added first, so that there is one to delete.
    batch.add(table_object(table));
    batch.delete(table_object(table));
    batch.add(table_object(table));
    for chain in [Chain::Forward, Chain::Postrouting] {
        let mut of_chain = rules.iter().filter(|rule| rule.chain() == chain).peekable();
        if of_chain.peek().is_some() {
            batch.add(chain_object(table, chain));
        }
        of_chain.for_each(|rule| batch.add(rule_object(table, rule)));
    }
    apply(&batch.to_nftables(), "set", table).await
}

/// Deletes the table.
pub(super) async fn delete(table: &str) -> Result<(), FabricError> {
    let mut batch = Batch::new();
    batch.add(table_object(table));
    batch.delete(table_object(table));
    apply(&batch.to_nftables(), "delete", table).await
}

/// What we read of a listing. The rest may look as it likes in whatever version of nft.
#[derive(Deserialize)]
struct Listing {
    nftables: Vec<Object>,
}

#[derive(Deserialize)]
struct Object {
    table: Option<Named>,
    rule: Option<Commented>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

#[derive(Deserialize)]
struct Commented {
    comment: Option<String>,
}

async fn run(arguments: &[&str], table: &str) -> Result<Vec<Object>, FabricError> {
    // Owned, because a future that holds an iterator over borrowed strings is not Send for the compiler.
    let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
    let text = helper::get_current_ruleset_raw_async(DEFAULT_NFT, &arguments)
        .await
        .map_err(|error| explain(error, "list", table))?;
    let listing: Listing = serde_json::from_str(&text)
        .map_err(|source| FabricError::NftOutput { table: table.to_owned(), source })?;
    Ok(listing.nftables)
}

async fn apply(objects: &Nftables<'_>, operation: &str, table: &str) -> Result<(), FabricError> {
    helper::apply_ruleset_async(objects).await.map_err(|error| explain(error, operation, table))
}

fn explain(error: NftablesError, operation: &str, table: &str) -> FabricError {
    let operation = format!("{operation} table {table}");
    match error {
        NftablesError::NftExecution { inner, .. } if inner.kind() == io::ErrorKind::NotFound => {
            FabricError::NftMissing { source: inner }
        }
        NftablesError::NftFailed { stderr, .. } => {
            FabricError::Nft { operation, message: stderr.trim().to_owned() }
        }
        other => FabricError::Nft { operation, message: other.to_string() },
    }
}

fn table_object(table: &str) -> NfListObject<'static> {
    NfListObject::Table(Table { family: FAMILY, name: table.to_owned().into(), handle: None })
}

fn name_of(chain: Chain) -> &'static str {
    match chain {
        Chain::Forward => "forward",
        Chain::Postrouting => "postrouting",
    }
}

fn chain_object(table: &str, chain: Chain) -> NfListObject<'static> {
    // The priorities that nft calls "filter" and "srcnat".
    let (kind, hook, priority) = match chain {
        Chain::Forward => (NfChainType::Filter, NfHook::Forward, 0),
        Chain::Postrouting => (NfChainType::NAT, NfHook::Postrouting, 100),
    };
    NfListObject::Chain(schema::Chain {
        family: FAMILY,
        table: table.to_owned().into(),
        name: name_of(chain).into(),
        _type: Some(kind),
        hook: Some(hook),
        prio: Some(priority),
        policy: Some(NfChainPolicy::Accept),
        ..schema::Chain::default()
    })
}

fn rule_object(table: &str, rule: &Rule) -> NfListObject<'static> {
    let statements = match rule {
        Rule::DropFrom { bridge } => vec![
            interface(MetaKey::Iifname, Operator::EQ, bridge),
            interface(MetaKey::Oifname, Operator::NEQ, bridge),
            Statement::Drop(None),
        ],
        Rule::DropTo { bridge } => vec![
            interface(MetaKey::Oifname, Operator::EQ, bridge),
            interface(MetaKey::Iifname, Operator::NEQ, bridge),
            Statement::Drop(None),
        ],
        Rule::KeepSource { destination } => {
            vec![address("daddr", *destination), Statement::Return(None)]
        }
        Rule::Masquerade { source, bridge } => vec![
            address("saddr", *source),
            interface(MetaKey::Oifname, Operator::NEQ, bridge),
            Statement::Masquerade(None),
        ],
    };
    NfListObject::Rule(schema::Rule {
        family: FAMILY,
        table: table.to_owned().into(),
        chain: name_of(rule.chain()).into(),
        expr: statements.into(),
        comment: Some(rule.to_string().into()),
        ..schema::Rule::default()
    })
}

fn interface(key: MetaKey, op: Operator, link: &LinkName) -> Statement<'static> {
    Statement::Match(Match {
        left: Expression::Named(NamedExpression::Meta(Meta { key })),
        right: Expression::String(link.as_str().to_owned().into()),
        op,
    })
}

fn address(field: &'static str, prefix: IpNet) -> Statement<'static> {
    let protocol = match prefix.addr() {
        IpAddr::V4(_) => "ip",
        IpAddr::V6(_) => "ip6",
    };
    let payload = PayloadField { protocol: protocol.into(), field: field.into() };
    let right = Prefix {
        addr: Box::new(Expression::String(prefix.network().to_string().into())),
        len: prefix.prefix_len().into(),
    };
    Statement::Match(Match {
        left: Expression::Named(NamedExpression::Payload(Payload::PayloadField(payload))),
        right: Expression::Named(NamedExpression::Prefix(right)),
        op: Operator::EQ,
    })
}

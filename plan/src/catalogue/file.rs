//! The user's own price list, as TOML or CSV; the built-in ones have the same form.

use super::{CatalogueError, Hosts, Offer};
use crate::read::{Problem, Quantity, cpu_milli, memory_bytes};
use nestless_placement::constraint::{Labels, Taint};
use nestless_placement::{Price, Resources, VmSize};
use serde::Deserialize;
use std::io::Read;
use std::sync::Arc;

/// A price of more than a million an hour is a slip of the pen.
const MAX_PRICE: u64 = 1_000_000_000_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    #[serde(default)]
    provider: String,
    #[serde(default)]
    region: String,
    #[serde(default)]
    as_of: String,
    #[serde(default)]
    source: String,
    #[serde(default)]
    size: Vec<Size>,
    host: Option<Host>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Size {
    name: String,
    price: Option<Figure>,
    cpu: Figure,
    memory: Figure,
    max_pods: Option<u32>,
    nics: Option<u32>,
    available: Option<u32>,
    #[serde(default)]
    labels: Labels,
    #[serde(default)]
    taints: Vec<Taint>,
    reserved: Option<Pair>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Host {
    count: Option<u32>,
    cpu: Figure,
    memory: Figure,
    price: Option<Figure>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pair {
    cpu: Figure,
    memory: Figure,
}

/// A quantity, with quotes or without.
#[derive(Deserialize)]
#[serde(untagged)]
enum Figure {
    Text(String),
    Whole(i64),
    Fraction(f64),
}

impl Figure {
    fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Whole(value) => value.to_string(),
            Self::Fraction(value) => value.to_string(),
        }
    }
}

/// Reads a price list.
///
/// # Errors
/// When it is not TOML, has unknown keys, or figures that cannot be.
pub fn read_toml(text: &str, file: &str) -> Result<Offer, CatalogueError> {
    let file: Arc<str> = file.into();
    let list: List = toml::from_str(text)
        .map_err(|source| CatalogueError::Toml { file: Arc::clone(&file), source: Box::new(source) })?;
    let hosts = list.host.as_ref().map(|host| hosts(host, &file)).transpose()?;
    let sizes = list.size.into_iter().map(|size| vm_size(size, hosts, &file));
    Ok(Offer {
        name: file.to_string(),
        provider: list.provider,
        region: list.region,
        as_of: list.as_of,
        source: list.source,
        sizes: sizes.collect::<Result<_, _>>()?,
        hosts,
    })
}

/// Reads a price list with the columns name, price, cpu, memory and, where wanted, max_pods, nics, available.
///
/// # Errors
/// When it is not such a table, or has figures that cannot be.
pub fn read_csv(input: impl Read, file: &str) -> Result<Offer, CatalogueError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Row {
        name: String,
        price: String,
        cpu: String,
        memory: String,
        max_pods: Option<u32>,
        nics: Option<u32>,
        available: Option<u32>,
    }
    let file: Arc<str> = file.into();
    let mut rows = csv::ReaderBuilder::new().trim(csv::Trim::All).comment(Some(b'#')).from_reader(input);
    let mut sizes = Vec::new();
    for row in rows.deserialize() {
        let Row { name, price, cpu, memory, max_pods, nics, available } =
            row.map_err(|source: csv::Error| {
                let line = source.position().map_or(1, csv::Position::line);
                CatalogueError::Csv { file: Arc::clone(&file), line, source: Box::new(source) }
            })?;
        let size = Size {
            name,
            price: Some(Figure::Text(price)),
            cpu: Figure::Text(cpu),
            memory: Figure::Text(memory),
            max_pods,
            nics,
            available,
            labels: Labels::new(),
            taints: Vec::new(),
            reserved: None,
        };
        sizes.push(vm_size(size, None, &file)?);
    }
    let empty = String::new;
    let name = file.to_string();
    Ok(Offer {
        name,
        provider: empty(),
        region: empty(),
        as_of: empty(),
        source: empty(),
        sizes,
        hosts: None,
    })
}

fn vm_size(size: Size, hosts: Option<Hosts>, file: &Arc<str>) -> Result<VmSize, CatalogueError> {
    let capacity = resources(&size.cpu, &size.memory, &size.name, file)?;
    let reserved = size.reserved.as_ref().map(|kept| resources(&kept.cpu, &kept.memory, &size.name, file));
    let price = match &size.price {
        Some(figure) => figure_of(file, &size.name, "price", price(&figure.text()))?,
        None => hosts
            .and_then(|hosts| share(capacity, hosts))
            .ok_or_else(|| figure_error(file, &size.name, "price", Problem::Missing))?,
    };
    Ok(VmSize {
        price,
        capacity,
        reserved: reserved.transpose()?.unwrap_or_default(),
        max_pods: size.max_pods,
        nics: size.nics,
        available: size.available,
        labels: size.labels,
        taints: size.taints,
        name: size.name,
    })
}

/// The part of a host's price that goes with the scarcer of what the VM takes of it; rounded up.
fn share(vm: Resources, hosts: Hosts) -> Option<Price> {
    let price = u128::from(hosts.price?.micro_dollars());
    let part = |vm: u64, host: u64| (price * u128::from(vm)).checked_div(u128::from(host));
    let cpu = part(vm.cpu_milli, hosts.size.cpu_milli)?;
    let memory = part(vm.memory_bytes, hosts.size.memory_bytes)?;
    u64::try_from(cpu.max(memory)).ok().map(Price)
}

fn hosts(host: &Host, file: &Arc<str>) -> Result<Hosts, CatalogueError> {
    let price = host.price.as_ref().map(|figure| figure_of(file, "host", "price", price(&figure.text())));
    Ok(Hosts {
        count: host.count,
        size: resources(&host.cpu, &host.memory, "host", file)?,
        price: price.transpose()?,
    })
}

fn resources(
    cpu: &Figure,
    memory: &Figure,
    size: &str,
    file: &Arc<str>,
) -> Result<Resources, CatalogueError> {
    Ok(Resources {
        cpu_milli: figure_of(file, size, "cpu", cpu_milli(&cpu.text()))?,
        memory_bytes: figure_of(file, size, "memory", memory_bytes(&memory.text()))?,
    })
}

/// Dollars an hour, to the millionth.
fn price(text: &str) -> Result<Price, Problem> {
    let quantity: Quantity = text.parse()?;
    if quantity.is_negative() {
        return Err(Problem::Negative { text: text.to_owned() });
    }
    let micro = quantity.times_ceil(1_000_000).filter(|&micro| micro <= MAX_PRICE);
    micro.map(Price).ok_or_else(|| Problem::Absurd { text: text.to_owned(), limit: "a million an hour" })
}

fn figure_of<T>(
    file: &Arc<str>,
    size: &str,
    field: &'static str,
    value: Result<T, Problem>,
) -> Result<T, CatalogueError> {
    value.map_err(|source| figure_error(file, size, field, source))
}

fn figure_error(file: &Arc<str>, size: &str, field: &'static str, source: Problem) -> CatalogueError {
    CatalogueError::Figure { file: Arc::clone(file), size: size.to_owned(), field, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::Reserve;
    use std::error::Error;

    #[test]
    fn a_private_cloud_prices_its_vms_by_share() {
        let offer = read_toml(
            "[host]\ncount = 4\ncpu = 64\nmemory = \"512Gi\"\nprice = 3.2\n\
             [[size]]\nname = \"small\"\ncpu = 4\nmemory = \"8Gi\"\n\
             [[size]]\nname = \"fat\"\ncpu = 4\nmemory = \"64Gi\"\nreserved = { cpu = \"100m\", memory = \"1Gi\" }\n",
            "ours.toml",
        )
        .unwrap();
        let prices: Vec<_> = offer.sizes.iter().map(|size| size.price).collect();
        assert_eq!(prices, [Price(200_000), Price(400_000)]);
        assert_eq!(offer.sizes[1].allocatable(), Resources::new(3_900, 63 << 30));
    }

    #[test]
    fn csv() {
        let offer =
            read_csv("name,price,cpu,memory,max_pods\na,0.1,2,8Gi,29\nb,0.2,4,16Gi,\n".as_bytes(), "x")
                .unwrap();
        assert_eq!((offer.sizes[0].max_pods, offer.sizes[1].max_pods), (Some(29), None));
        assert_eq!(offer.sizes[1].price, Price(200_000));
    }

    #[test]
    fn refusals() {
        let mut sentences = String::new();
        let mut note = |error: CatalogueError| {
            let cause = error.source().map(|cause| cause.to_string()).unwrap_or_default();
            sentences += &format!("{error}: {}\n", cause.replace('\n', " "));
        };
        for text in [
            "[[size]]\nname = \"a\"\ncpu = 1\nmemory = 1\n",
            "[[size]]\nname = \"a\"\nprice = -1\ncpu = 1\nmemory = 1\n",
            "[[size]]\nname = \"a\"\nprice = 1\ncpu = \"1 core\"\nmemory = 1\n",
            "[[size]]\nname = \"a\"\nprice = 1e9\ncpu = 1\nmemory = 1\n",
            "[[size]]\nname = \"a\"\nprize = 1\ncpu = 1\nmemory = 1\n",
            "[[size]\n",
        ] {
            note(read_toml(text, "ours.toml").unwrap_err());
        }
        let empty = read_toml("", "ours.toml").unwrap();
        note(empty.catalogue(Reserve::None, &[]).unwrap_err());
        note(read_csv("name,price\na,1\n".as_bytes(), "ours.csv").unwrap_err());
        insta::assert_snapshot!(sentences);
    }
}

//! Price lists that come with the planner: one file each, with date and source.

use super::Offer;
use super::file::read_toml;
use nestless_placement::Price;

const FILES: [(&str, &str); 11] = [
    ("m5", include_str!("../../catalogues/m5.toml")),
    ("m5-2019", include_str!("../../catalogues/m5-2019.toml")),
    ("c5", include_str!("../../catalogues/c5.toml")),
    ("r5", include_str!("../../catalogues/r5.toml")),
    ("m6i", include_str!("../../catalogues/m6i.toml")),
    ("m7i", include_str!("../../catalogues/m7i.toml")),
    ("c7i", include_str!("../../catalogues/c7i.toml")),
    ("r7i", include_str!("../../catalogues/r7i.toml")),
    ("n2", include_str!("../../catalogues/n2.toml")),
    ("dsv5", include_str!("../../catalogues/dsv5.toml")),
    ("esv5", include_str!("../../catalogues/esv5.toml")),
];

/// The names of all of them.
pub fn names() -> impl Iterator<Item = &'static str> {
    FILES.iter().map(|(name, _)| *name)
}

/// The price list of this name.
pub fn builtin(name: &str) -> Option<Offer> {
    let (name, text) = FILES.iter().find(|(known, _)| *known == name)?;
    Some(read_toml(text, name).expect("a test reads every built-in catalogue"))
}

/// The price that a built-in list gives for a size, by the name that clouds label nodes with.
pub fn known_price(size: &str) -> Option<Price> {
    let offers = names().filter_map(builtin);
    offers.flat_map(|offer| offer.sizes).find(|known| known.name == size).map(|known| known.price)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::Reserve;
    use nestless_placement::Resources;

    #[test]
    fn every_one_is_dated_sourced_and_usable() {
        for name in names() {
            let offer = builtin(name).unwrap();
            assert_eq!(offer.name, name);
            assert!(
                !offer.as_of.is_empty() && !offer.source.is_empty() && !offer.region.is_empty(),
                "{name}"
            );
            for reserve in [Reserve::None, Reserve::Eks, Reserve::Gke, Reserve::Aks] {
                offer.catalogue(reserve, &[]).unwrap();
            }
        }
        assert!(builtin("m4").is_none());
        for provider in ["aws", "gcp", "azure"] {
            assert!(names().any(|name| builtin(name).unwrap().provider == provider), "{provider}");
        }
    }

    #[test]
    fn nodes_have_the_labels_that_pods_select_by() {
        let zones = ["a".to_owned(), "b".to_owned()];
        let plain = builtin("m5").unwrap().with_node_labels(&[]);
        assert_eq!(plain.sizes.len(), 8);
        let labels = &plain.sizes[0].labels;
        assert_eq!(labels["kubernetes.io/os"], "linux");
        assert_eq!(labels["node.kubernetes.io/instance-type"], "m5.large");
        let zoned = builtin("m5").unwrap().with_node_labels(&zones);
        assert_eq!((zoned.sizes.len(), zoned.sizes[1].name.as_str()), (16, "m5.large in b"));
        assert_eq!(zoned.sizes[1].labels[crate::catalogue::ZONE], "b");
    }

    #[test]
    fn six_sizes_then_and_eight_now() {
        let (then, now) = (builtin("m5-2019").unwrap(), builtin("m5").unwrap());
        assert_eq!((then.sizes.len(), now.sizes.len()), (6, 8));
        assert!(then.sizes.iter().all(|size| now.sizes.contains(size)));
        let largest = now.sizes.last().unwrap();
        assert_eq!((largest.capacity, largest.price), (Resources::new(96_000, 384 << 30), Price(4_608_000)));
    }
}

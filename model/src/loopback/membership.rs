//! Who is where in which group: what must be kept of it, and who may join.

use super::{flow::Place, size::GroupSize};
use crate::identity::{FractionName, GroupName, TenantName, VmName};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, btree_map::Entry},
    fmt,
    num::NonZeroU32,
};

/// A group's number on this host. 0 is no group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct GroupId(NonZeroU32);

impl GroupId {
    /// `None` for 0.
    pub fn new(number: u32) -> Option<Self> {
        NonZeroU32::new(number).map(Self)
    }

    /// The number.
    pub fn get(self) -> u32 {
        self.0.get()
    }
}

impl fmt::Display for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "loopback group {}", self.0)
    }
}

/// What a fraction asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinWish {
    /// The split pod.
    pub group: GroupName,
    /// Which part of it.
    pub fraction: FractionName,
    /// How many parts it will have at most; `None`: as others have said, or as many as there can be.
    pub size: Option<GroupSize>,
}

/// A fraction's place in its group, as the ledger keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// The group, as guests and people call it.
    pub group: GroupName,
    /// The group, as the reflector calls it.
    pub id: GroupId,
    /// The fraction.
    pub fraction: FractionName,
    /// Its place.
    pub place: Place,
    /// What the group is made for. Ledgers from before it could be said are without.
    #[serde(default)]
    pub size: GroupSize,
}

/// Why a fraction may not join. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the fields are the objects named in each message")]
pub enum JoinError {
    /// No place is free.
    #[error("loopback group {group} has {size} fractions: {}", more_than(*size))]
    Full { group: GroupName, size: GroupSize },
    /// The fractions would not agree on whose ports are whose.
    #[error(
        "loopback group {group} is made for {size} fractions, not for {wished}: give all its fractions one size, or let those of the former size leave first"
    )]
    OtherSize { group: GroupName, size: GroupSize, wished: GroupSize },
    /// It is there already.
    #[error(
        "fraction {fraction} of loopback group {group} is in VM {vm} already: give this one another name, or let that one leave first"
    )]
    Taken { group: GroupName, fraction: FractionName, vm: VmName },
    /// A pod is one tenant's.
    #[error(
        "loopback group {group} has fractions in VM {other}, and VM {vm} is not of the same tenant: set `tenant` of both in nestlessd's configuration \
         if their pods may share a localhost"
    )]
    OtherTenant { group: GroupName, vm: VmName, other: VmName },
}

/// How to have more.
fn more_than(size: GroupSize) -> &'static str {
    if size == GroupSize::MAX {
        "the most that the reflector has places for: put more containers into one fraction, or build with a larger MAX_FRACTIONS and REFLECTOR_FRACTIONS"
    } else {
        "as many as it is made for: give all its fractions a larger size, up to 16, once those that are there have left"
    }
}

/// All groups of a host.
#[derive(Clone, Debug, Default)]
pub struct Groups {
    tenants: BTreeMap<VmName, TenantName>,
    groups: BTreeMap<GroupName, Members>,
    last_id: u32,
}

#[derive(Clone, Debug)]
struct Members {
    id: GroupId,
    size: GroupSize,
    present: BTreeMap<Place, (FractionName, VmName)>,
    /// Where those were that left: a fraction that returns gets its own ports again, if it can.
    former: BTreeMap<FractionName, Place>,
}

impl Groups {
    /// No groups. A VM without a tenant shares them with nobody.
    pub fn new(tenants: BTreeMap<VmName, TenantName>) -> Self {
        Self { tenants, ..Self::default() }
    }

    /// Whose the VMs are from now on. Fractions that are in a group stay there.
    pub fn set_tenants(&mut self, tenants: BTreeMap<VmName, TenantName>) {
        self.tenants = tenants;
    }

    /// Takes a place for a fraction in `vm`.
    ///
    /// # Errors
    /// When it may not join; nothing is changed then.
    pub fn take(&mut self, vm: &VmName, wish: &JoinWish) -> Result<Membership, JoinError> {
        let JoinWish { group, fraction, size } = wish;
        let (place, id, size) = match self.groups.get(group) {
            None => {
                let id = GroupId::new(self.last_id.wrapping_add(1).max(1));
                (Place::all().next(), id, size.unwrap_or_default())
            }
            Some(members) => {
                if let Some((_, other)) =
                    members.present.values().find(|(_, other)| !self.may_share(vm, other))
                {
                    return Err(JoinError::OtherTenant {
                        group: group.clone(),
                        vm: vm.clone(),
                        other: other.clone(),
                    });
                }
                if let Some((_, vm)) = members.present.values().find(|(present, _)| present == fraction) {
                    return Err(JoinError::Taken {
                        group: group.clone(),
                        fraction: fraction.clone(),
                        vm: vm.clone(),
                    });
                }
                if let Some(wished) = size.filter(|wished| *wished != members.size) {
                    return Err(JoinError::OtherSize { group: group.clone(), size: members.size, wished });
                }
                (members.place_for(fraction), Some(members.id), members.size)
            }
        };
        let (Some(place), Some(id)) = (place, id) else {
            return Err(JoinError::Full { group: group.clone(), size });
        };
        let membership = Membership { group: group.clone(), id, fraction: fraction.clone(), place, size };
        self.restore(vm, &membership);
        Ok(membership)
    }

    /// Takes over what the ledger has.
    pub fn restore(&mut self, vm: &VmName, membership: &Membership) {
        let Membership { group, id, fraction, place, size } = membership;
        self.last_id = self.last_id.max(id.get());
        let empty = Members { id: *id, size: *size, present: BTreeMap::new(), former: BTreeMap::new() };
        let members = self.groups.entry(group.clone()).or_insert(empty);
        members.former.remove(fraction);
        members.present.insert(*place, (fraction.clone(), vm.clone()));
    }

    /// Gives a place back. The last one that leaves takes the group along.
    pub fn release(&mut self, membership: &Membership) {
        let Entry::Occupied(mut entry) = self.groups.entry(membership.group.clone()) else { return };
        let members = entry.get_mut();
        if members
            .present
            .get(&membership.place)
            .is_some_and(|(fraction, _)| *fraction == membership.fraction)
        {
            members.present.remove(&membership.place);
            members.former.insert(membership.fraction.clone(), membership.place);
        }
        if members.present.is_empty() {
            entry.remove();
        }
    }

    fn may_share(&self, vm: &VmName, other: &VmName) -> bool {
        vm == other || self.tenants.get(vm).is_some_and(|tenant| self.tenants.get(other) == Some(tenant))
    }
}

impl Members {
    /// Its own place; else one that nobody may come back to; else any.
    fn place_for(&self, fraction: &FractionName) -> Option<Place> {
        let free = |place: &Place| self.size.has(*place) && !self.present.contains_key(place);
        let own = self.former.get(fraction).copied().filter(free);
        let never_used =
            || Place::all().filter(free).find(|place| !self.former.values().any(|was| was == place));
        own.or_else(never_used).or_else(|| Place::all().find(free))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loopback::MAX_FRACTIONS;

    fn vm(name: &str) -> VmName {
        name.parse().unwrap()
    }

    fn wish(group: &str, fraction: &str) -> JoinWish {
        JoinWish { group: group.parse().unwrap(), fraction: fraction.parse().unwrap(), size: None }
    }

    fn sized(fraction: &str, size: u32) -> JoinWish {
        JoinWish { size: Some(size.try_into().unwrap()), ..wish("shop", fraction) }
    }

    fn groups() -> Groups {
        let tenants = [("vm1", "a"), ("vm2", "a"), ("vm3", "b")];
        Groups::new(tenants.map(|(name, tenant)| (vm(name), tenant.parse().unwrap())).into())
    }

    #[test]
    fn a_fraction_that_returns_has_its_own_place() {
        let mut groups = groups();
        let web = groups.take(&vm("vm1"), &wish("shop", "web")).unwrap();
        let app = groups.take(&vm("vm2"), &wish("shop", "app")).unwrap();
        assert_eq!((web.place.number(), app.place.number(), web.id), (0, 1, app.id));
        groups.release(&web);
        let database = groups.take(&vm("vm2"), &wish("shop", "database")).unwrap();
        assert_eq!(database.place.number(), 2, "another one keeps off its ports");
        assert_eq!(groups.take(&vm("vm2"), &wish("shop", "web")).unwrap(), web);
        assert_ne!(groups.take(&vm("vm1"), &wish("blog", "web")).unwrap().id, web.id);
    }

    #[test]
    fn a_group_that_is_over_is_a_new_one_next_time() {
        let mut groups = groups();
        let first = groups.take(&vm("vm1"), &wish("shop", "web")).unwrap();
        groups.release(&first);
        groups.release(&first);
        // Anyone's, too: nobody is in it.
        let second = groups.take(&vm("vm3"), &wish("shop", "web")).unwrap();
        assert_ne!(first.id, second.id);
    }

    #[test]
    fn strangers_and_doubles_are_refused_and_change_nothing() {
        let mut groups = groups();
        groups.take(&vm("vm1"), &wish("shop", "web")).unwrap();
        let refused = |groups: &mut Groups, name: &str, fraction: &str| {
            groups.take(&vm(name), &wish("shop", fraction)).unwrap_err().to_string()
        };
        assert!(refused(&mut groups, "vm2", "web").contains("is in VM vm1 already"));
        assert!(refused(&mut groups, "vm3", "app").contains("VM vm3 is not of the same tenant"));
        assert!(refused(&mut groups, "stray", "app").contains("set `tenant`"));
        for place in 1..MAX_FRACTIONS {
            groups.take(&vm("vm2"), &wish("shop", &format!("f{place}"))).unwrap();
        }
        assert!(refused(&mut groups, "vm2", "more").contains("has 16 fractions"));
    }

    #[test]
    fn all_fractions_agree_on_the_size() {
        let mut groups = groups();
        let web = groups.take(&vm("vm1"), &sized("web", 2)).unwrap();
        let other = groups.take(&vm("vm2"), &sized("app", 3)).unwrap_err().to_string();
        assert!(other.contains("made for 2 fractions, not for 3"), "{other}");
        // Whoever says nothing takes what it is.
        let app = groups.take(&vm("vm2"), &wish("shop", "app")).unwrap();
        assert_eq!((web.size, app.size.get(), app.place.number()), (app.size, 2, 1));
        let full = groups.take(&vm("vm2"), &sized("database", 2)).unwrap_err().to_string();
        assert!(full.contains("has 2 fractions: as many as it is made for"), "{full}");
        let mut later = self::groups();
        later.restore(&vm("vm1"), &web);
        assert_eq!(later.take(&vm("vm2"), &wish("shop", "app")).unwrap(), app);
        later.release(&web);
        later.release(&app);
        assert_eq!(later.take(&vm("vm1"), &sized("web", 3)).unwrap().size.get(), 3, "a new group");
    }

    #[test]
    fn a_ledger_without_sizes_is_of_groups_of_the_largest() {
        let membership = groups().take(&vm("vm1"), &wish("shop", "web")).unwrap();
        let mut value = serde_json::to_value(&membership).unwrap();
        value.as_object_mut().unwrap().remove("size").unwrap();
        assert_eq!(serde_json::from_value::<Membership>(value).unwrap(), membership);
    }

    #[test]
    fn a_vm_without_a_tenant_shares_with_itself() {
        let mut groups = Groups::default();
        groups.take(&vm("vm1"), &wish("shop", "web")).unwrap();
        assert!(groups.take(&vm("vm1"), &wish("shop", "app")).is_ok());
        assert!(groups.take(&vm("vm2"), &wish("shop", "database")).is_err());
    }

    #[test]
    fn what_the_ledger_has_is_taken_over() {
        let mut groups = groups();
        let web = groups.take(&vm("vm1"), &wish("shop", "web")).unwrap();
        let text = serde_json::to_string(&web).unwrap();
        let mut later = self::groups();
        later.restore(&vm("vm1"), &serde_json::from_str(&text).unwrap());
        assert_eq!(later.take(&vm("vm1"), &wish("blog", "web")).unwrap().id.get(), web.id.get() + 1);
        assert!(later.take(&vm("vm2"), &wish("shop", "web")).is_err());
    }
}

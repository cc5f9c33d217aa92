//! Who is where in which group: what must be kept of it, and who may join.

use super::{flow::Place, owner::Owner, size::GroupSize};
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
    /// The group, as its owner's guests and people call it.
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
    /// Whose the group is. Ledgers from when groups had one name for all are without: such a group is its members'.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Owner>,
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
    /// It is there already. The VM is one of the same owner's.
    #[error(
        "fraction {fraction} of loopback group {group} is in VM {vm} already: give this one another name, or let that one leave first; if it never \
         will, end VM {vm}, or `nestless loopback release {group} {fraction}` on the host"
    )]
    Taken { group: GroupName, fraction: FractionName, vm: VmName },
}

/// How to have more.
fn more_than(size: GroupSize) -> &'static str {
    if size == GroupSize::MAX {
        "the most that the reflector has places for: put more containers into one fraction, or build with a larger MAX_FRACTIONS and REFLECTOR_FRACTIONS"
    } else {
        "as many as it is made for: give all its fractions a larger size, up to 16, once those that are there have left"
    }
}

/// A group as it is known besides its endpoints' records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownGroup {
    /// Whose it is.
    pub owner: Owner,
    /// As its owner calls it.
    pub name: GroupName,
    /// Who left, by the places that nobody has taken since.
    pub left: BTreeMap<Place, Left>,
    /// Of those that are there: in which other VM the fraction was before.
    pub before: BTreeMap<Place, VmName>,
}

/// A fraction that left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// Its name.
    pub fraction: FractionName,
    /// Where it was.
    pub vm: VmName,
}

/// All groups of a host.
#[derive(Clone, Debug, Default)]
pub struct Groups {
    tenants: BTreeMap<VmName, TenantName>,
    names: BTreeMap<(Owner, GroupName), GroupId>,
    groups: BTreeMap<GroupId, Members>,
    last_id: u32,
}

#[derive(Clone, Debug)]
struct Members {
    owner: Owner,
    name: GroupName,
    size: GroupSize,
    present: BTreeMap<Place, Present>,
    /// Who had the places that are free: a fraction that returns gets its own ports again, if it can. One for each place, so
    /// that no guest makes it longer.
    left: BTreeMap<Place, Left>,
}

#[derive(Clone, Debug)]
struct Present {
    fraction: FractionName,
    vm: VmName,
    /// Another VM, which had it before.
    before: Option<VmName>,
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

    /// Takes a place for a fraction in `vm`. Only groups of that VM's owner are looked at.
    ///
    /// # Errors
    /// When it may not join; nothing is changed then.
    pub fn take(&mut self, vm: &VmName, wish: &JoinWish) -> Result<Membership, JoinError> {
        let JoinWish { group, fraction, size } = wish;
        let owner = self.owner(vm);
        let there = self.names.get(&(owner.clone(), group.clone()));
        let (place, id, size) = match there.and_then(|id| self.groups.get_key_value(id)) {
            None => {
                let id = GroupId::new(self.last_id.wrapping_add(1).max(1));
                (Place::all().next(), id, size.unwrap_or_default())
            }
            Some((id, members)) => {
                if let Some(there) = members.present.values().find(|there| there.fraction == *fraction) {
                    return Err(JoinError::Taken {
                        group: group.clone(),
                        fraction: fraction.clone(),
                        vm: there.vm.clone(),
                    });
                }
                if let Some(wished) = size.filter(|wished| *wished != members.size) {
                    return Err(JoinError::OtherSize { group: group.clone(), size: members.size, wished });
                }
                (members.place_for(fraction), Some(*id), members.size)
            }
        };
        let (Some(place), Some(id)) = (place, id) else {
            return Err(JoinError::Full { group: group.clone(), size });
        };
        let (group, fraction) = (group.clone(), fraction.clone());
        let membership = Membership { group, id, fraction, place, size, owner: Some(owner) };
        self.restore(vm, &membership);
        Ok(membership)
    }

    /// Takes over what the ledger has. Of a group that does not say whose it is, VMs that are configured come first.
    pub fn restore(&mut self, vm: &VmName, membership: &Membership) {
        let Membership { group, id, fraction, place, size, owner } = membership;
        self.last_id = self.last_id.max(id.get());
        if !self.groups.contains_key(id) {
            let owner = owner.clone().unwrap_or_else(|| self.owner(vm));
            self.names.entry((owner.clone(), group.clone())).or_insert(*id);
            let (present, left) = (BTreeMap::new(), BTreeMap::new());
            self.groups.insert(*id, Members { owner, name: group.clone(), size: *size, present, left });
        }
        let Some(members) = self.groups.get_mut(id) else { return };
        let before = members.left.values().find(|left| left.fraction == *fraction);
        let before = before.map(|left| left.vm.clone()).filter(|before| before != vm);
        members.left.retain(|free, left| free != place && left.fraction != *fraction);
        members.present.insert(*place, Present { fraction: fraction.clone(), vm: vm.clone(), before });
    }

    /// Gives a place back. The last one that leaves takes the group along.
    pub fn release(&mut self, membership: &Membership) {
        let Entry::Occupied(mut entry) = self.groups.entry(membership.id) else { return };
        let members = entry.get_mut();
        let own = members.present.get(&membership.place);
        if own.is_some_and(|present| present.fraction == membership.fraction)
            && let Some(Present { fraction, vm, .. }) = members.present.remove(&membership.place)
        {
            members.left.insert(membership.place, Left { fraction, vm });
        }
        if members.present.is_empty() {
            let Members { owner, name, .. } = entry.remove();
            if let Entry::Occupied(named) = self.names.entry((owner, name))
                && *named.get() == membership.id
            {
                named.remove();
            }
        }
    }

    /// What is known of a group; `None` when nobody is in it.
    pub fn known(&self, id: GroupId) -> Option<KnownGroup> {
        let Members { owner, name, present, left, .. } = self.groups.get(&id)?;
        let before = present.iter().filter_map(|(place, present)| Some((*place, present.before.clone()?)));
        Some(KnownGroup {
            owner: owner.clone(),
            name: name.clone(),
            left: left.clone(),
            before: before.collect(),
        })
    }

    fn owner(&self, vm: &VmName) -> Owner {
        self.tenants.get(vm).cloned().map_or_else(|| Owner::Vm(vm.clone()), Owner::Tenant)
    }
}

impl Members {
    /// Its own place; else one that nobody may come back to; else any.
    fn place_for(&self, fraction: &FractionName) -> Option<Place> {
        let free = |place: &Place| self.size.has(*place) && !self.present.contains_key(place);
        let own = self.left.iter().find(|(_, left)| left.fraction == *fraction).map(|(place, _)| *place);
        let never_used = || Place::all().filter(free).find(|place| !self.left.contains_key(place));
        own.filter(free).or_else(never_used).or_else(|| Place::all().find(free))
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
        assert_eq!(groups.known(first.id), None);
        let second = groups.take(&vm("vm2"), &wish("shop", "web")).unwrap();
        assert_ne!(first.id, second.id);
    }

    /// What another tenant calls its groups is neither in the way nor told.
    #[test]
    fn everybody_names_groups_for_themselves() {
        let mut groups = groups();
        let own = groups.take(&vm("vm1"), &wish("shop", "web")).unwrap();
        for name in ["vm3", "stray", "stranger"] {
            let other = groups.take(&vm(name), &sized("web", 2)).unwrap();
            assert_ne!(other.id, own.id);
            assert_eq!((other.place.number(), other.size.get()), (0, 2), "{name}");
            let again = groups.take(&vm(name), &sized("web", 2)).unwrap_err().to_string();
            assert!(again.contains(&format!("is in VM {name} already")) && !again.contains("vm1"), "{again}");
        }
        assert_eq!(groups.take(&vm("vm2"), &wish("shop", "app")).unwrap().id, own.id);
        assert_eq!(groups.known(own.id).unwrap().owner.to_string(), "tenant:a");
    }

    #[test]
    fn doubles_are_refused_and_change_nothing() {
        let mut groups = groups();
        groups.take(&vm("vm1"), &wish("shop", "web")).unwrap();
        let refused = |groups: &mut Groups, fraction: &str| {
            groups.take(&vm("vm2"), &wish("shop", fraction)).unwrap_err().to_string()
        };
        assert!(refused(&mut groups, "web").contains("is in VM vm1 already"));
        for place in 1..MAX_FRACTIONS {
            groups.take(&vm("vm2"), &wish("shop", &format!("f{place}"))).unwrap();
        }
        assert!(refused(&mut groups, "more").contains("has 16 fractions"));
    }

    /// A guest that joins under ever new names.
    #[test]
    fn who_left_is_remembered_by_place_and_no_longer() {
        let mut groups = groups();
        let web = groups.take(&vm("vm1"), &sized("web", 4)).unwrap();
        for number in 0..1000 {
            let passing = groups.take(&vm("vm2"), &wish("shop", &format!("f{number}"))).unwrap();
            groups.release(&passing);
        }
        let known = groups.known(web.id).unwrap();
        assert_eq!(known.left.len(), 3, "{known:?}");
        assert_eq!(known.before, BTreeMap::new());
        for name in ["app", "database", "cache"] {
            groups.take(&vm("vm2"), &wish("shop", name)).unwrap();
        }
        assert_eq!(groups.known(web.id).unwrap().left, BTreeMap::new());
    }

    #[test]
    fn a_fraction_that_is_elsewhere_now_says_where_it_was() {
        let mut groups = groups();
        let web = groups.take(&vm("vm1"), &wish("shop", "web")).unwrap();
        groups.take(&vm("vm2"), &wish("shop", "app")).unwrap();
        groups.release(&web);
        let left = Left { fraction: web.fraction.clone(), vm: vm("vm1") };
        assert_eq!(groups.known(web.id).unwrap().left, [(web.place, left)].into());
        assert_eq!(groups.take(&vm("vm2"), &wish("shop", "web")).unwrap(), web);
        let known = groups.known(web.id).unwrap();
        assert_eq!((known.left, known.before), (BTreeMap::new(), [(web.place, vm("vm1"))].into()));
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

    /// Such a group is its members' tenant's, and stays one group.
    #[test]
    fn a_ledger_from_when_groups_had_one_name_for_all_is_read() {
        let mut before = groups();
        let old = |groups: &mut Groups, name: &str, fraction: &str| {
            let membership = groups.take(&vm(name), &wish("shop", fraction)).unwrap();
            let mut value = serde_json::to_value(&membership).unwrap();
            assert_eq!(value.as_object_mut().unwrap().remove("owner").unwrap(), "tenant:a");
            serde_json::from_value::<Membership>(value).unwrap()
        };
        let (web, app) = (old(&mut before, "vm1", "web"), old(&mut before, "vm2", "app"));
        assert_eq!((web.owner.as_ref(), app.owner.as_ref()), (None, None));
        let mut later = groups();
        later.restore(&vm("vm1"), &web);
        later.restore(&vm("vm2"), &app);
        let database = later.take(&vm("vm2"), &wish("shop", "database")).unwrap();
        assert_eq!((database.id, database.place.number()), (web.id, 2));
        assert_eq!(database.owner.unwrap().to_string(), "tenant:a");
        assert_ne!(later.take(&vm("vm3"), &wish("shop", "web")).unwrap().id, web.id);
        later.release(&web);
        assert_eq!(later.known(web.id).unwrap().left[&web.place].fraction, web.fraction);
    }

    /// A VM that changed hands has a fraction of its former tenant's group as long as it lives, and no other.
    #[test]
    fn a_vm_of_another_tenant_than_before_makes_groups_of_its_own() {
        let web = groups().take(&vm("vm1"), &wish("shop", "web")).unwrap();
        let moved = [("vm1", "b"), ("vm3", "b")].map(|(name, tenant)| (vm(name), tenant.parse().unwrap()));
        let mut later = Groups::new(moved.into());
        later.restore(&vm("vm1"), &web);
        let own = later.take(&vm("vm1"), &wish("shop", "web")).unwrap();
        assert_ne!(own.id, web.id);
        assert_eq!(later.take(&vm("vm3"), &wish("shop", "app")).unwrap().id, own.id);
    }

    #[test]
    fn a_vm_without_a_tenant_shares_with_itself() {
        let mut groups = Groups::default();
        let web = groups.take(&vm("vm1"), &wish("shop", "web")).unwrap();
        assert_eq!(groups.take(&vm("vm1"), &wish("shop", "app")).unwrap().id, web.id);
        assert_ne!(groups.take(&vm("vm2"), &wish("shop", "database")).unwrap().id, web.id);
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

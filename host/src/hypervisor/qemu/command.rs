//! Commands that change something, and the names of what they change.

use nestless_model::identity::NicId;
use nestless_support::{
    crash_point,
    qmp::{Command, QmpClient, QmpError},
};

/// Most queue pairs of one NIC: bounds the descriptor names that a crash may have left in QEMU.
pub(super) const MAX_QUEUES: u16 = 16;

/// Runs a command that changes something, with a crash point on either side.
pub(super) async fn effect<C: Command>(client: &QmpClient, command: &C) -> Result<C::Ok, QmpError> {
    crash_point::reached(&format!("qemu.{}.before", C::NAME));
    let result = client.execute(command).await;
    crash_point::reached(&format!("qemu.{}.after", C::NAME));
    result
}

/// For commands whose object may be gone already.
pub(super) async fn effect_if_any<C: Command>(client: &QmpClient, command: &C) -> Result<(), QmpError> {
    match effect(client, command).await {
        Err(error) if !error.is_not_found() => Err(error),
        _ => Ok(()),
    }
}

pub(super) fn netdev_name(nic: NicId) -> String {
    format!("{}-net", nic.device_name())
}

/// What a NIC's descriptors are called in QEMU: those of the TAP, and those of vhost-net.
pub(super) fn descriptor_names(nic: NicId, queues: u16) -> (Vec<String>, Vec<String>) {
    let names = |kind| (0..queues).map(|queue| format!("{}-{kind}-{queue}", nic.device_name())).collect();
    (names("tap"), names("vhost"))
}
